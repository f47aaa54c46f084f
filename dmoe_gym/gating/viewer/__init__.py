"""Pictures and text of an episode."""

from dmoe_gym.gating.viewer.scene import GatingRecorder, text
from dmoe_gym.rendering import Viewer

VIEWER = Viewer(GatingRecorder, text, "dmoe_gym.gating.viewer.picture")

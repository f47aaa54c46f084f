"""Pictures and text of an episode."""

from dmoe_gym.dmoe.viewer.scene import DMoERecorder, text
from dmoe_gym.rendering import Viewer

VIEWER = Viewer(DMoERecorder, text, "dmoe_gym.dmoe.viewer.picture")

"""Pictures and text of an episode."""

from dmoe_gym.dmoe.viewer.recorder import DMoERecorder
from dmoe_gym.dmoe.viewer.text import text
from dmoe_gym.rendering import Viewer

VIEWER = Viewer(DMoERecorder, text, "dmoe_gym.dmoe.viewer.picture")

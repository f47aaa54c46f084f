"""Pictures and text of an episode."""

from dmoe_gym.rendering import Viewer
from dmoe_gym.wdmoe.viewer.scene import WDMoERecorder, text

VIEWER = Viewer(WDMoERecorder, text, "dmoe_gym.wdmoe.viewer.picture")

"""Channel processes: NumPy only, they know nothing of schedulers or of Gymnasium.

A configuration (`ChannelConfig`, told apart by `kind`) builds a `ChannelProcess`; `CSIConfig` builds the
`ChannelKnowledge` that a scheduler sees of it; `prediction` holds the law of the present gain given that knowledge.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dmoe_gym.channel.csi import ChannelKnowledge, CSIConfig
from dmoe_gym.channel.gauss_markov import GaussMarkovConfig
from dmoe_gym.channel.jakes import JakesConfig
from dmoe_gym.channel.large_scale import LargeScaleConfig, SmallScaleConfig
from dmoe_gym.channel.mobility import GaussMarkovMobilityConfig, RandomWaypointConfig, StaticConfig
from dmoe_gym.channel.prediction import conditional_mean_gain, outage_probability
from dmoe_gym.channel.process import ChannelProcess
from dmoe_gym.channel.rayleigh import RayleighConfig
from dmoe_gym.channel.rician import RicianConfig
from dmoe_gym.channel.tapped_delay_line import TappedDelayLineConfig

ChannelConfig = Annotated[SmallScaleConfig | LargeScaleConfig, Field(discriminator="kind")]

__all__ = [
    "CSIConfig",
    "ChannelConfig",
    "ChannelKnowledge",
    "ChannelProcess",
    "GaussMarkovConfig",
    "GaussMarkovMobilityConfig",
    "JakesConfig",
    "LargeScaleConfig",
    "RandomWaypointConfig",
    "RayleighConfig",
    "RicianConfig",
    "StaticConfig",
    "TappedDelayLineConfig",
    "conditional_mean_gain",
    "outage_probability",
]

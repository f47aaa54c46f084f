"""Channel processes: NumPy only, they know nothing of schedulers or of Gymnasium.

A configuration (`ChannelConfig`) builds a `ChannelProcess`; another (`KnowledgeConfig`) the `ChannelKnowledge` that a
scheduler sees of it; `law` holds what is known of the present gain given that knowledge. The package's own are looked
up by their `kind`; an own one is a subclass, of which an instance goes in (`docs/guides/extending.md`).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import SerializeAsAny

from dmoe_gym.channel.amplitude import AmplitudeProcess, EvolutionConfig, ScatteredConfig
from dmoe_gym.channel.blockage import BlockageConfig
from dmoe_gym.channel.csi import ChannelKnowledge, CSIConfig, KnowledgeConfig, PerfectKnowledge
from dmoe_gym.channel.fading import GaussMarkovConfig, JakesConfig, RayleighConfig, RicianConfig
from dmoe_gym.channel.large_scale import LargeScaleConfig
from dmoe_gym.channel.mobility import (
    GaussMarkovMobilityConfig,
    Mobility,
    MobilityConfig,
    RandomWaypointConfig,
    StaticConfig,
)
from dmoe_gym.channel.prediction import conditional_mean_gain, outage_probability
from dmoe_gym.channel.process import ChannelConfig, ChannelProcess, FadingLaw, GainLaw, SmallScaleConfig
from dmoe_gym.channel.tapped_delay_line import TappedDelayLineConfig
from dmoe_gym.config import read_as

# the fields of a system's configuration
ChannelField = Annotated[SerializeAsAny[ChannelConfig], read_as(ChannelConfig)]
KnowledgeField = Annotated[SerializeAsAny[KnowledgeConfig], read_as(KnowledgeConfig, default=CSIConfig)]

__all__ = [
    "AmplitudeProcess",
    "BlockageConfig",
    "CSIConfig",
    "ChannelConfig",
    "ChannelField",
    "ChannelKnowledge",
    "ChannelProcess",
    "EvolutionConfig",
    "FadingLaw",
    "GainLaw",
    "GaussMarkovConfig",
    "GaussMarkovMobilityConfig",
    "JakesConfig",
    "KnowledgeConfig",
    "KnowledgeField",
    "LargeScaleConfig",
    "Mobility",
    "MobilityConfig",
    "PerfectKnowledge",
    "RandomWaypointConfig",
    "RayleighConfig",
    "RicianConfig",
    "ScatteredConfig",
    "SmallScaleConfig",
    "StaticConfig",
    "TappedDelayLineConfig",
    "conditional_mean_gain",
    "outage_probability",
]

"""Channel processes: NumPy only, they know nothing of schedulers or of Gymnasium."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dmoe_gym.channel.gauss_markov import GaussMarkovConfig
from dmoe_gym.channel.jakes import JakesConfig
from dmoe_gym.channel.process import ChannelProcess
from dmoe_gym.channel.rayleigh import RayleighConfig
from dmoe_gym.channel.rician import RicianConfig
from dmoe_gym.channel.tapped_delay_line import TappedDelayLineConfig

ChannelConfig = Annotated[
    RayleighConfig | GaussMarkovConfig | JakesConfig | TappedDelayLineConfig | RicianConfig,
    Field(discriminator="kind"),
]

__all__ = ["ChannelConfig", "ChannelProcess", "GaussMarkovConfig", "RayleighConfig"]

"""Channel processes: NumPy only, they know nothing of schedulers or of Gymnasium."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dmoe_gym.channel.gauss_markov import GaussMarkovConfig
from dmoe_gym.channel.process import ChannelProcess
from dmoe_gym.channel.rayleigh import RayleighConfig

ChannelConfig = Annotated[RayleighConfig | GaussMarkovConfig, Field(discriminator="kind")]

__all__ = ["ChannelConfig", "ChannelProcess", "GaussMarkovConfig", "RayleighConfig"]

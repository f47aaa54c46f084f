"""Analog and digital transmission of feature vectors; NumPy only."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dmoe_gym.gating.transmission.analog import Analog
from dmoe_gym.gating.transmission.codes import LinearCode, code
from dmoe_gym.gating.transmission.digital import Digital
from dmoe_gym.gating.transmission.modulation import bit_error_rate

Transmission = Annotated[Analog | Digital, Field(discriminator="kind")]

__all__ = ["Analog", "Digital", "LinearCode", "Transmission", "bit_error_rate", "code"]

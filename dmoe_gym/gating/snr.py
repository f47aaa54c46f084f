"""How the experts' signal-to-noise ratios are drawn, input by input."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dmoe_gym.config import StrictConfig


class SNRDistribution(StrictConfig):
    """Every expert's SNR of every input is drawn on its own: normal in dB (log-normal shadowing), fading on top.

    Fields:
        mean_db: mean of the SNR in dB, that is the median of the linear SNR (assumed).
        spread_db: its standard deviation over experts and inputs [dB] (assumed); 0 makes all experts alike.
        fading: "fixed", or "rayleigh": the linear SNR is multiplied by an exponential variable of mean 1.
    """

    mean_db: float = 0.0
    spread_db: Annotated[float, Field(ge=0)] = 6.0
    fading: Literal["fixed", "rayleigh"] = "fixed"

    def draw(self, generator: np.random.Generator, inputs: int, experts: int) -> np.ndarray:
        """Linear SNRs, (inputs, experts) float64. The count of random numbers depends on the shape alone."""
        shadowing = generator.standard_normal((inputs, experts))
        power_gain = generator.standard_exponential((inputs, experts))
        snr = 10 ** ((self.mean_db + self.spread_db * shadowing) / 10)
        return snr * power_gain if self.fading == "rayleigh" else snr

"""Rayleigh fading whose complex amplitude follows a first-order Gauss-Markov recursion over rounds."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.special import j0

from dmoe_gym.channel.amplitude import AmplitudeProcess, EvolutionConfig
from dmoe_gym.components import register


@register
class GaussMarkovConfig(EvolutionConfig):
    """Gauss-Markov fading with the correlation of Clarke's model between successive rounds.

    Only the lag of one round follows Clarke's J0; over d rounds the correlation is rho^d (Jakes fading has J0 at
    every lag). With a line of sight: `RicianConfig(scattered=GaussMarkovConfig(...))`; correlated over subcarriers:
    `TappedDelayLineConfig(evolution=GaussMarkovConfig(...))`.

    Attributes:
        doppler_hz: maximum Doppler frequency f_D [Hz] (assumed 10 Hz: about 3 km/h at 3.5 GHz).
        round_duration_s: time T between rounds [s] (assumed 10 ms).
    """

    kind: Literal["gauss_markov"] = "gauss_markov"
    doppler_hz: Annotated[float, Field(ge=0, le=1e6)] = 10.0
    round_duration_s: Annotated[float, Field(ge=1e-9, le=1e6)] = 0.01

    @property
    def correlation(self) -> float:
        """rho = J0(2 pi f_D T), the correlation of the complex amplitude between successive rounds."""
        return self.lag_correlation(1)

    def lag_correlation(self, rounds: int) -> float:
        """Correlation of the complex amplitude with itself `rounds` rounds later: rho^rounds."""
        return float(j0(2 * np.pi * self.doppler_hz * self.round_duration_s)) ** rounds

    def build_amplitude(self, batch: int, links: tuple[int, int], subcarriers: int) -> GaussMarkovChannel:
        """The process for `batch` environments."""
        return GaussMarkovChannel(batch, links, subcarriers, self.correlation)


class GaussMarkovChannel(AmplitudeProcess):
    """h[l+1] = rho h[l] + sqrt(1 - rho^2) w, with h and w circular complex normal of unit power; gains = |h|^2."""

    def __init__(self, batch: int, links: tuple[int, int], subcarriers: int, correlation: float) -> None:
        super().__init__(batch, links, subcarriers)
        self.correlation = correlation
        self._noise = np.zeros((2, *links, subcarriers), np.float32)
        self._keep = np.float32(correlation)
        # real and imaginary part each carry half the power
        self._renew = np.float32(np.sqrt((1 - correlation**2) / 2))

    def start_amplitude(self, row: int, generator: np.random.Generator) -> None:
        amplitude = self.amplitude[row]
        generator.standard_normal(dtype=np.float32, out=amplitude)
        amplitude *= np.float32(np.sqrt(0.5))

    def advance_amplitude(self, row: int, generator: np.random.Generator) -> None:
        amplitude = self.amplitude[row]
        generator.standard_normal(dtype=np.float32, out=self._noise)
        amplitude *= self._keep
        self._noise *= self._renew
        amplitude += self._noise

"""Rician fading: a line of sight beside any scattered process."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, SerializeAsAny

from dmoe_gym.channel.amplitude import AmplitudeProcess, ScatteredConfig
from dmoe_gym.channel.law import FadingLaw, GainLaw
from dmoe_gym.channel.process import SmallScaleConfig
from dmoe_gym.channel.rayleigh import RayleighConfig
from dmoe_gym.components import read_as, register


@register
class RicianConfig(SmallScaleConfig):
    """Rician fading with mean gain 1.

    Attributes:
        k_factor: power of the line of sight over the scattered power, linear (assumed 4, which is 6 dB).
        scattered: the process of the scattered part; independent block fading, Gauss-Markov, Jakes or a tapped
            delay line.
    """

    kind: Literal["rician"] = "rician"
    k_factor: Annotated[float, Field(ge=0, le=1e9)] = 4.0
    scattered: Annotated[SerializeAsAny[ScatteredConfig], read_as(ScatteredConfig)] = RayleighConfig()

    def numbers(self, links: int, subcarriers: int) -> int:
        return self.scattered.numbers(links, subcarriers) + 4 * links * subcarriers

    def lag_correlation(self, rounds: int) -> float:
        """Correlation of the scattered amplitude with itself `rounds` rounds later; the line of sight is constant."""
        return self.scattered.lag_correlation(rounds)

    def law(self, lag_rounds: int, error_variance: float) -> GainLaw | None:
        """See `ChannelConfig.law`."""
        independent = self.scattered.independent
        return FadingLaw(self.lag_correlation(lag_rounds), error_variance, self.k_factor, independent=independent)

    def build(self, batch: int, links: tuple[int, int], subcarriers: int) -> RicianChannel:
        """The process for `batch` environments."""
        return RicianChannel(self.scattered.amplitude_process(batch, links, subcarriers), self.k_factor)


class RicianChannel(AmplitudeProcess):
    """h = sqrt(K / (K + 1)) + sqrt(1 / (K + 1)) s, with s the scattered amplitude of unit power.

    The line of sight arrives first, undelayed and with a constant phase (its own Doppler shift is left out). As s is
    circular the value of that phase has no influence on the gains and is taken as 0.
    """

    def __init__(self, scattered: AmplitudeProcess, k_factor: float) -> None:
        batch, sources, destinations, subcarriers = scattered.gains.shape
        super().__init__(batch, (sources, destinations), subcarriers)
        self._scattered = scattered
        self._line_of_sight = np.float32(np.sqrt(k_factor / (k_factor + 1)))
        self._scale = np.float32(np.sqrt(1 / (k_factor + 1)))

    def start_amplitude(self, row: int, generator: np.random.Generator) -> None:
        self._scattered.start_amplitude(row, generator)
        self._add(row)

    def advance_amplitude(self, row: int, generator: np.random.Generator) -> None:
        self._scattered.advance_amplitude(row, generator)
        self._add(row)

    def _add(self, row: int) -> None:
        amplitude = self.amplitude[row]
        np.multiply(self._scattered.amplitude[row], self._scale, out=amplitude)
        amplitude[0] += self._line_of_sight

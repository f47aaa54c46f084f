"""Rayleigh block fading, independent over links, subcarriers and rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from dmoe_gym.channel.amplitude import AmplitudeProcess, EvolutionConfig
from dmoe_gym.channel.process import ChannelProcess
from dmoe_gym.compiled.draws import standard_exponential
from dmoe_gym.components import register


@register
class RayleighConfig(EvolutionConfig):
    """Independent Rayleigh block fading; it has no parameters."""

    kind: Literal["rayleigh"] = "rayleigh"

    def build(self, batch: int, links: tuple[int, int], subcarriers: int) -> RayleighChannel:
        """The process for `batch` environments."""
        return RayleighChannel(batch, links, subcarriers)

    def build_amplitude(self, batch: int, links: tuple[int, int], subcarriers: int) -> RayleighAmplitude:
        """The same law with its complex amplitude, for processes that are built on it; other random numbers."""
        return RayleighAmplitude(batch, links, subcarriers)

    def lag_correlation(self, rounds: int) -> float:
        """Correlation of the complex amplitude with itself `rounds` rounds later: block fading forgets at once."""
        return float(rounds == 0)


class RayleighChannel(ChannelProcess):
    """Power gains |h|^2 with h circular complex normal: exponential of mean 1."""

    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        standard_exponential(generators, rows, self.gains)

    advance = start


class RayleighAmplitude(AmplitudeProcess):
    """h circular complex normal of unit power, a new one in every round."""

    def start_amplitude(self, row: int, generator: np.random.Generator) -> None:
        amplitude = self.amplitude[row]
        generator.standard_normal(dtype=np.float32, out=amplitude)
        # real and imaginary part each carry half the power
        amplitude *= np.float32(np.sqrt(0.5))

    advance_amplitude = start_amplitude

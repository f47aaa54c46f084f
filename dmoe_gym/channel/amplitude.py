"""Fading that is known by its complex amplitude: what Rician and frequency-correlated channels are built from."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from dmoe_gym.channel.process import ChannelProcess, FadingLaw, GainLaw, SmallScaleConfig
from dmoe_gym.config import in_words
from dmoe_gym.process import Generators, Rows


class AmplitudeProcess(ChannelProcess):
    """A channel process that also gives the complex amplitude h behind gains = |h|^2.

    A process that wraps another one calls its `start_amplitude` and `advance_amplitude`; the wrapped one's `gains`
    then stay unused.

    Attributes:
        amplitude: (batch, 2, sources, destinations, subcarriers) float32, real and imaginary part of h.
    """

    def __init__(self, batch: int, links: tuple[int, int], subcarriers: int) -> None:
        super().__init__(batch, links, subcarriers)
        self.amplitude = np.zeros((batch, 2, *links, subcarriers), np.float32)

    @abstractmethod
    def start_amplitude(self, row: int, generator: np.random.Generator) -> None:
        """Write the first round of a new episode into amplitude[row]."""

    @abstractmethod
    def advance_amplitude(self, row: int, generator: np.random.Generator) -> None:
        """Move amplitude[row] one round on."""

    def start(self, rows: Rows, generators: Generators) -> None:
        for row in rows:
            self.start_amplitude(row, generators[row])
            self._write_gains(row)

    def advance(self, rows: Rows, generators: Generators) -> None:
        for row in rows:
            self.advance_amplitude(row, generators[row])
            self._write_gains(row)

    def _write_gains(self, row: int) -> None:
        real, imaginary = self.amplitude[row]
        np.add(real * real, imaginary * imaginary, out=self.gains[row])


class ScatteredConfig(SmallScaleConfig):
    """Rayleigh-type fading: circular complex normal amplitudes of unit power, Gaussian over rounds and subcarriers."""

    # are the amplitudes independent over links and subcarriers?
    independent: ClassVar[bool] = False

    @abstractmethod
    def build_amplitude(self, batch: int, links: tuple[int, int], subcarriers: int) -> AmplitudeProcess:
        """The process for `batch` environments with (sources, destinations) links."""

    @abstractmethod
    def lag_correlation(self, rounds: int) -> float:
        """Correlation of the complex amplitude with itself `rounds` rounds later, in [-1, 1]."""

    def build(self, batch: int, links: tuple[int, int], subcarriers: int) -> ChannelProcess:
        return self.build_amplitude(batch, links, subcarriers)

    def law(self, lag_rounds: int, error_variance: float) -> GainLaw | None:
        return FadingLaw(self.lag_correlation(lag_rounds), error_variance, independent=self.independent)

    def amplitude_process(self, batch: int, links: tuple[int, int], subcarriers: int) -> AmplitudeProcess:
        """What `build_amplitude` returns, for channels that are built on it.

        Raises:
            ValueError: naming the class, if that is no `AmplitudeProcess` or has another shape.
        """
        process = self.build_amplitude(batch, links, subcarriers)
        name, shape = f"channel: {type(self).__name__}.build_amplitude", (batch, 2, *links, subcarriers)
        if not isinstance(process, AmplitudeProcess):
            raise ValueError(f"{name} returned {in_words(process)}, valid is an AmplitudeProcess")
        if process.amplitude.shape != shape:
            raise ValueError(f"{name}: amplitude has shape {process.amplitude.shape}, valid is {shape}")
        return process


class EvolutionConfig(ScatteredConfig):
    """Rayleigh-type fading that is independent over links and subcarriers: how one amplitude evolves over rounds."""

    independent: ClassVar[bool] = True

"""Fading that is known by its complex amplitude: what Rician and frequency-correlated channels are built from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from dmoe_gym.channel.process import ChannelProcess


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

    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        for row in rows:
            self.start_amplitude(row, generators[row])
            self._write_gains(row)

    def advance(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        for row in rows:
            self.advance_amplitude(row, generators[row])
            self._write_gains(row)

    def _write_gains(self, row: int) -> None:
        real, imaginary = self.amplitude[row]
        np.add(real * real, imaginary * imaginary, out=self.gains[row])

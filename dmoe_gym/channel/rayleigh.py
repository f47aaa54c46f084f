"""Rayleigh block fading, independent over links, subcarriers and rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from dmoe_gym.channel.process import ChannelProcess
from dmoe_gym.config import StrictConfig


class RayleighConfig(StrictConfig):
    """Independent Rayleigh block fading; it has no parameters."""

    kind: Literal["rayleigh"] = "rayleigh"

    def build(self, batch: int, links: tuple[int, int], subcarriers: int) -> RayleighChannel:
        """The process for `batch` environments."""
        return RayleighChannel(batch, links, subcarriers)


class RayleighChannel(ChannelProcess):
    """Power gains |h|^2 with h circular complex normal: exponential of mean 1."""

    def __init__(self, batch: int, links: tuple[int, int], subcarriers: int) -> None:
        super().__init__(batch, links, subcarriers)
        self._rows = list(self.gains)

    def start(self, rows: Sequence[int], generators: Sequence[np.random.Generator]) -> None:
        for row in rows:
            generators[row].standard_exponential(dtype=np.float32, out=self._rows[row])

    advance = start

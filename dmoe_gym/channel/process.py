"""The interface of every channel process: link gains over rounds, batched over environments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np


class ChannelProcess(ABC):
    """Linear channel power gains of all links, one value per subcarrier and round.

    The random numbers of an environment come from its own generator and their count never depends on anything
    but the shapes and the configuration, so that an episode is the same whatever the batch it runs in and whatever
    is done in it. Mean gain 1 is the mean link.

    Attributes:
        gains: (batch, sources, destinations, subcarriers) float32, linear power gain of the current round; owned by
            the process and overwritten by `start` and `advance`.
        mean_gains: (batch, 1, 1, 1) or (batch, sources, destinations, 1) float32, the local mean of `gains`: path
            loss and shadowing without the fading. All 1 unless the process has a large-scale part.
    """

    def __init__(self, batch: int, links: tuple[int, int], subcarriers: int) -> None:
        self.gains = np.zeros((batch, *links, subcarriers), np.float32)
        self.mean_gains = np.ones((batch, 1, 1, 1), np.float32)

    @abstractmethod
    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        """Draw the first round of a new episode for the environments in `rows`; generators[row] belongs to row."""

    @abstractmethod
    def advance(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        """Move the environments in `rows` one round on."""

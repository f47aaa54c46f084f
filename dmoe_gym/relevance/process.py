"""The interface of every source of gate scores (task-expert relevance), batched over environments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np


class RelevanceProcess(ABC):
    """Gate scores of all hidden states, new in every round.

    As with channels, every environment draws from its own generator a count of numbers that depends on shapes alone.

    Attributes:
        gate_scores: (batch, nodes, hidden states, experts) float32, non-negative, each row of experts sums to one;
            owned by the process and overwritten by `start` and `advance`.
    """

    def __init__(self, batch: int, nodes: int, states: int, experts: int) -> None:
        self.gate_scores = np.full((batch, nodes, states, experts), 1 / experts, np.float32)

    @abstractmethod
    def start(self, rows: Sequence[int], generators: Sequence[np.random.Generator]) -> None:
        """Draw the first round of a new episode for the environments in `rows`; generators[row] belongs to row."""

    @abstractmethod
    def advance(self, rows: Sequence[int], generators: Sequence[np.random.Generator]) -> None:
        """Draw the next round for the environments in `rows`."""

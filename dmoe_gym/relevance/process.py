"""The interface of every source of gate scores (task-expert relevance), batched over environments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dmoe_gym.config import StrictConfig


@dataclass(frozen=True)
class Sizes:
    """What a system asks of a source, and by which fields of its configuration: errors name them.

    Attributes:
        layers, experts, states: rounds of an episode, experts of a round, hidden states of a node.
        layer_field, expert_field, state_field: the fields that say so.
    """

    layers: int
    experts: int
    states: int
    layer_field: str = "num_layers"
    expert_field: str = "num_experts"
    state_field: str = "num_states"


class RelevanceSource(StrictConfig, ABC):
    """The configuration of a source, told apart by its `kind`; it builds the process."""

    @abstractmethod
    def build(self, batch: int, nodes: int, states: int, experts: int) -> RelevanceProcess:
        """The process for `batch` environments."""

    def require_fit(self, sizes: Sizes) -> None:
        """Refuse a system that the source has no scores for; most fit any.

        Raises:
            ValueError: naming the source's sizes and the configuration's.
        """


class RelevanceProcess(ABC):
    """Gate scores of all hidden states, new in every round.

    As with channels, every environment draws from its own generator a count of numbers that depends on shapes alone.

    Attributes:
        gate_scores: (batch, nodes, hidden states, experts) float32, non-negative, each row of experts sums to one;
            owned by the process and overwritten by `start` and `advance`.
        domains: (batch, nodes) int64, the domain of every node in the current episode.
        draws_rounds: does `advance` draw random numbers?
    """

    draws_rounds: ClassVar[bool] = True

    def __init__(self, batch: int, nodes: int, states: int, experts: int) -> None:
        self.gate_scores = np.full((batch, nodes, states, experts), 1 / experts, np.float32)
        self.domains = np.zeros((batch, nodes), np.int64)

    @abstractmethod
    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        """Draw the first round of a new episode for the environments in `rows`; generators[row] belongs to row."""

    @abstractmethod
    def advance(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        """Draw the next round for the environments in `rows`."""

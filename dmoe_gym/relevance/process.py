"""The interface of every source of gate scores (task-expert relevance), batched over environments.

An own source is two classes: a `RelevanceProcess` that draws scores, and a `RelevanceConfig` that builds it
(`docs/guides/extending.md`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dmoe_gym.components import Component, is_foreign
from dmoe_gym.validation import checked_rows, in_words, require_sum_of_one


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


class RelevanceConfig(Component):
    """What a source of gate scores is: builds its process."""

    @abstractmethod
    def build(self, batch: int, nodes: int, states: int, experts: int) -> RelevanceProcess:
        """The process for `batch` environments."""

    def require_fit(self, sizes: Sizes) -> None:
        """Refuse a system that the source has no scores for; most fit any.

        Raises:
            ValueError: naming the source's sizes and the configuration's.
        """

    def process(self, batch: int, nodes: int, states: int, experts: int) -> RelevanceProcess:
        """The process as systems use it: an own one is checked whenever it moves.

        Raises:
            ValueError: naming the source, if `build` returns no process or one of other shapes.
        """
        built = self.build(batch, nodes, states, experts)
        return CheckedRelevance(self, built, batch, nodes, states, experts) if is_foreign(self) else built


class CheckedRelevance(RelevanceProcess):
    """A process from outside of the package, whose scores are checked and copied whenever it moves.

    Raises:
        ValueError: naming the source and what is wrong with its scores: their shape, an entry that is negative or no
            finite number, or a hidden state whose scores do not sum to one.
    """

    def __init__(
        self, config: RelevanceConfig, process: RelevanceProcess, batch: int, nodes: int, states: int, experts: int
    ) -> None:
        super().__init__(batch, nodes, states, experts)
        self._name = f"relevance: {type(config).__name__}"
        if not isinstance(process, RelevanceProcess):
            raise ValueError(f"{self._name}.build returned {in_words(process)}, valid is a RelevanceProcess")
        self._process = process

    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        self._process.start(rows, generators)
        self._copy(rows)

    def advance(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        self._process.advance(rows, generators)
        self._copy(rows)

    def _copy(self, rows: Sequence[int] | np.ndarray) -> None:
        name, process = f"{self._name}: gate_scores", self._process
        scores = checked_rows(name, process.gate_scores, self.gate_scores.shape, rows)
        require_sum_of_one(name, scores)
        self.gate_scores[rows] = scores
        self.domains[rows] = checked_rows(f"{self._name}: domains", process.domains, self.domains.shape, rows)

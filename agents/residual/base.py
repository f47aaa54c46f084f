"""What residual schedulers share: a tuned analytic scheduler whose prices a small network corrects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Constants

Arrays = dict[str, np.ndarray]


class Residual(ABC):
    """Schedules of whole rounds; where the network's outputs are zero, those of the analytic scheduler underneath.

    What is seen of a round splits in two: what no action has an influence on (`see`), which is computed once for all
    candidates that run the same episode, and the rest of the observation (batteries, budgets).

    Attributes:
        underneath: the analytic scheduler's name in tables.
        inputs, outputs: numbers per item that the network reads and gives.
        surveyed: can what it decides be valued without running the environment? Then it has `survey` and `valued`.
    """

    underneath: ClassVar[str]
    surveyed: ClassVar[bool] = False
    inputs: ClassVar[int]
    outputs: ClassVar[int]

    def __init__(self, config: DMoEConfig) -> None:
        self.config = config
        self.constants = Constants.of(config)

    def layers(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """(B,) the observed rounds' layers 1..L."""
        return np.rint(observation["progress"][:, 0] * self.config.num_layers).astype(np.int64)

    @abstractmethod
    def start(self, batch: int) -> Arrays:
        """What is remembered before an episode's first round: arrays of zeros with a leading batch axis."""

    @abstractmethod
    def see(self, observation: Mapping[str, np.ndarray], memory: Arrays) -> Arrays:
        """What an observation tells whatever was done before; brings `memory` up to date in place."""

    @abstractmethod
    def features(self, observation: Mapping[str, np.ndarray], seen: Arrays) -> np.ndarray:
        """The network's inputs (B, items, inputs)."""

    @abstractmethod
    def plan(
        self, observation: Mapping[str, np.ndarray], seen: Arrays, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """selected (B, K, N, K) bool and subcarrier (B, K, K; -1 for none) under the network's outputs.

        Args:
            outputs: (B, items, outputs).
        """


class Surveyed(Residual):
    """A residual scheduler whose choices are valued by what is observed, all of them at once."""

    surveyed = True

    @abstractmethod
    def survey(self, observation: Mapping[str, np.ndarray], seen: Arrays) -> np.ndarray:
        """What every choice saves of the analytic schedule's cost (B, items), mean cost per round."""

    @abstractmethod
    def valued(self, seen: Arrays, savings: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """The cost per round (P, B) under the outputs (P, B, items, outputs) of P candidates."""


def remember_scores(observation: Mapping[str, np.ndarray], memory: Arrays) -> np.ndarray:
    """Mean gate scores (B, K, K) of every node's hidden states over the rounds seen: they tell the nodes' domains."""
    memory["scores"] += observation["gate_scores"].mean(2)
    memory["rounds"] += 1
    return memory["scores"] / memory["rounds"][:, None, None]

"""What residual schedulers share: a tuned analytic scheduler whose prices a small network corrects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from agents.networks.shared import SharedNetwork
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
        softsign: does the network bend by x / (1 + |x|), which takes compiled code less time, instead of tanh?
        surveyed: can what it decides be valued without running the environment? Then it has `survey` and `valued`.
    """

    underneath: ClassVar[str]
    surveyed: ClassVar[bool] = False
    softsign: ClassVar[bool] = False
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
    def decide(
        self, network: SharedNetwork, observation: Mapping[str, np.ndarray], seen: Arrays, parameters: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Schedules of P candidates on B episodes each.

        Args:
            observation, seen: (P * B, ...), row p * B + b is candidate p in episode b.
            parameters: (P, size) of the network.

        Returns:
            selected (P * B, K, N, K) bool; subcarrier (P * B, K, K), -1 for none.
        """


class Itemised(Residual):
    """A residual scheduler that tells the network's inputs and plans under its outputs, in two steps."""

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

    def decide(
        self, network: SharedNetwork, observation: Mapping[str, np.ndarray], seen: Arrays, parameters: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        features = self.features(observation, seen)
        inputs = features.reshape(len(parameters), -1, *features.shape[1:])
        outputs = network(parameters, inputs)
        return self.plan(observation, seen, outputs.reshape(len(features), *outputs.shape[2:]))


class Surveyed(Itemised):
    """A residual scheduler whose choices are valued by what is observed, all of them at once."""

    surveyed = True

    @abstractmethod
    def survey(self, observation: Mapping[str, np.ndarray], seen: Arrays) -> np.ndarray:
        """What every choice saves of the analytic schedule's cost (B, items), mean cost per round."""

    @abstractmethod
    def valued(self, seen: Arrays, savings: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """The cost per round (P, B) under the outputs (P, B, items, outputs) of P candidates."""


class Compiled(Residual):
    """A residual scheduler whose rounds stand alone, and are decided and valued by compiled code, network included."""

    @abstractmethod
    def costs(self, network: SharedNetwork, seen: Arrays, parameters: np.ndarray) -> np.ndarray:
        """The cost (P, B) of B seen rounds under P parameter vectors (P, size)."""


def remember_scores(observation: Mapping[str, np.ndarray], memory: Arrays) -> np.ndarray:
    """Mean gate scores (B, K, K) of every node's hidden states over the rounds seen: they tell the nodes' domains."""
    memory["scores"] += observation["gate_scores"].mean(2)
    memory["rounds"] += 1
    return memory["scores"] / memory["rounds"][:, None, None]

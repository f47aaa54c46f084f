"""What every analytic scheduler is to a policy: schedules of whole rounds from what is observed of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

import numpy as np

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Constants


class Planner(ABC):
    """Schedules of whole rounds from their observation.

    It may know the configuration (the law of the channel, the error of its knowledge, the episode's length), and
    nothing of an episode but its observations.
    """

    def __init__(self, config: DMoEConfig) -> None:
        self.config = config
        self.constants = Constants.of(config)

    @abstractmethod
    def plan(self, observation: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """selected (B, K, N, K) bool and subcarrier (B, K, K) int64, -1 for none, of a batch of observed rounds."""

    def layers(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """(B,) the observed rounds' layers 1..L."""
        return np.rint(observation["progress"][:, 0] * self.config.num_layers).astype(np.int64)


def empty_plan(observation: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Arrays for a batch of schedules: selected (B, K, N, K), subcarrier (B, K, K)."""
    selected = np.zeros(observation["gate_scores"].shape, np.bool_)
    return selected, np.full(observation["spectral_efficiency"].shape[:3], -1, np.int64)


ObservedRound = tuple[np.ndarray, np.ndarray, float, np.ndarray, np.ndarray]


def planned_rounds(observation: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, Iterator[ObservedRound]]:
    """An empty plan, selected and subcarrier, and the observed rounds one by one that fill it."""
    selected, subcarrier = empty_plan(observation)
    scores, efficiency = observation["gate_scores"], observation["spectral_efficiency"]
    return (
        selected,
        subcarrier,
        observed_rounds(scores, efficiency, observation["threshold"][:, 0], selected, subcarrier),
    )


def observed_rounds(
    gate_scores: np.ndarray,
    efficiency: np.ndarray,
    thresholds: np.ndarray,
    selected: np.ndarray,
    subcarrier: np.ndarray,
) -> Iterator[ObservedRound]:
    """The rounds of a batch one by one, 64-bit, with the arrays that their schedules go into.

    Kernels that take longer than a call from Python need no compiled loop over the batch, which would take long to
    compile, and in 64 bit they are compiled for observations and for `Round`s at once.
    """
    for row in range(len(thresholds)):
        yield (
            gate_scores[row].astype(np.float64),
            efficiency[row].astype(np.float64),
            float(thresholds[row]),
            selected[row],
            subcarrier[row],
        )

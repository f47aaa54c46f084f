"""The base of DMoE's analytic schedulers: schedules of whole rounds from what is observed of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from dmoe_gym import policy
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Constants

Observation = Mapping[str, np.ndarray]


class Scheduler(policy.Scheduler):
    """Schedules of whole rounds; a subclass fills them in.

    Attributes:
        config: the system; constants: the same as numbers for compiled code.
    """

    config: DMoEConfig

    def __init__(self, config: DMoEConfig) -> None:
        if not isinstance(config, DMoEConfig):
            raise ValueError(f"config = {config!r:.99}: valid is a DMoEConfig, as scenario(NAME) gives")
        super().__init__(config)
        self.constants = Constants.of(config)

    def schedule(self, observation: Observation) -> tuple[np.ndarray, np.ndarray]:
        """selected (B, K, N, K) bool and subcarrier (B, K, K) int64, -1 for none, of a batch of observed rounds."""
        plan = nothing_planned(observation)
        self.fill(observation, *plan)
        return plan

    @abstractmethod
    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        """Write the schedules.

        Args:
            observation: gate_scores (B, K, N, K), spectral_efficiency (B, K, K, M) [bit/s/Hz], threshold (B, 1) and
                what else the environment shows.
            selected: (B, K, N, K), all False; subcarrier: (B, K, K), all -1.
        """

    def layers(self, observation: Observation) -> np.ndarray:
        """(B,) the observed rounds' layers 1..L."""
        return np.rint(observation["progress"][:, 0] * self.config.num_layers).astype(np.int64)


def nothing_planned(observation: Observation) -> tuple[np.ndarray, np.ndarray]:
    """Empty schedules of a batch of observed rounds, see `Scheduler.schedule`."""
    experts = observation["spectral_efficiency"].shape[:3]
    return np.zeros(observation["gate_scores"].shape, np.bool_), np.full(experts, -1, np.int64)


def seen(observation: Observation) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Size of the batch, gate scores (B, K, N, K), spectral efficiencies (B, K, K, M), thresholds (B,)."""
    thresholds = observation["threshold"][:, 0]
    return len(thresholds), observation["gate_scores"], observation["spectral_efficiency"], thresholds


ObservedRound = tuple[np.ndarray, np.ndarray, float, np.ndarray, np.ndarray]


def observed_rounds(observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> Iterator[ObservedRound]:
    """The rounds of a batch one by one, 64-bit, with the arrays that their schedules go into.

    Kernels that take longer than a call from Python need no compiled loop over the batch, which would take long to
    compile, and in 64 bit they are compiled for observations and for `Round`s at once.
    """
    size, gate_scores, efficiency, thresholds = seen(observation)
    for row in range(size):
        yield (
            gate_scores[row].astype(np.float64),
            efficiency[row].astype(np.float64),
            float(thresholds[row]),
            selected[row],
            subcarrier[row],
        )


class Corrections(NamedTuple):
    """Factors on what a scheduler believes things to cost, for a batch; all 1 change nothing, not even a bit.

    Attributes:
        prices: (B, K) on the energy that every node's radio and expert take.
        relevance: (B,) on the threshold where the environment enforces it, on relevance's price elsewhere.
        caution: (B, K) on the outage probability of the links that leave every node, where knowledge is uncertain.
        probing: (B, K) on what learning the state of these links is worth, where deliveries are told.
    """

    prices: np.ndarray
    relevance: np.ndarray
    caution: np.ndarray
    probing: np.ndarray

    @classmethod
    def none(cls, batch: int, experts: int) -> Corrections:
        """Of nothing."""
        return cls(np.ones((batch, experts)), np.ones(batch), *np.ones((2, batch, experts)))

    def thresholds(self, thresholds: np.ndarray) -> np.ndarray:
        """The corrected thresholds (B,), at most 1."""
        return np.minimum(thresholds * self.relevance, 1).astype(thresholds.dtype)

    def constants(self, constants: Constants, row: int) -> Constants:
        """Constants at one round's corrected prices."""
        return constants._replace(
            computation=constants.computation * self.prices[row],
            shortfall_price=constants.shortfall_price * float(self.relevance[row]),
        )


class Correctable(Scheduler):
    """A scheduler whose prices can be corrected."""

    @abstractmethod
    def fill_corrected(self, observation: Observation, corrections: Corrections, *schedule: np.ndarray) -> None:
        """As `fill`, under corrections; `schedule` is selected, subcarrier."""

    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        """As `Scheduler.fill`, without corrections."""
        none = Corrections.none(len(observation["gate_scores"]), self.config.num_experts)
        self.fill_corrected(observation, none, selected, subcarrier)

    def corrected(self, observation: Observation, corrections: Corrections) -> tuple[np.ndarray, np.ndarray]:
        """As `schedule`, under corrections."""
        plan = nothing_planned(observation)
        self.fill_corrected(observation, corrections, *plan)
        return plan

"""Schedulers that take corrections of their prices: what a residual action does to them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.dmoe.schedulers.scheduler import Scheduler


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
    def fill_corrected(
        self,
        observation: Mapping[str, np.ndarray],
        corrections: Corrections,
        selected: np.ndarray,
        subcarrier: np.ndarray,
    ) -> None:
        """As `fill`, under corrections."""

    def fill(self, observation: Mapping[str, np.ndarray], selected: np.ndarray, subcarrier: np.ndarray) -> None:
        """As `Scheduler.fill`, without corrections."""
        none = Corrections.none(len(observation["gate_scores"]), self.config.num_experts)
        self.fill_corrected(observation, none, selected, subcarrier)

    def corrected(
        self, observation: Mapping[str, np.ndarray], corrections: Corrections
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `schedule`, under corrections."""
        selected = np.zeros(observation["gate_scores"].shape, np.bool_)
        subcarrier = np.full(observation["spectral_efficiency"].shape[:3], -1, np.int64)
        self.fill_corrected(observation, corrections, selected, subcarrier)
        return selected, subcarrier

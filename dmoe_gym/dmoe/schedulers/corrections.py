"""Schedulers that take corrections of their prices: what a residual action does to them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dmoe_gym.dmoe.schedulers.scheduler import Planner


class Corrections(NamedTuple):
    """Factors on what a scheduler believes things to cost, for a batch; all 1 change nothing, not even a bit.

    Fields:
        prices: (B, K) on the energy that every node's radio and expert take.
        relevance: (B,) on the threshold where the environment enforces it, on relevance's price elsewhere.
        caution: (B, K) on the outage probability of the links that leave every node, where knowledge is uncertain.
    """

    prices: np.ndarray
    relevance: np.ndarray
    caution: np.ndarray

    @classmethod
    def none(cls, batch: int, experts: int) -> Corrections:
        """Of nothing."""
        return cls(np.ones((batch, experts)), np.ones(batch), np.ones((batch, experts)))


class Correctable(Planner):
    """A scheduler whose prices can be corrected."""

    @abstractmethod
    def corrected(
        self, observation: Mapping[str, np.ndarray], corrections: Corrections
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `plan`, under corrections."""

    def plan(self, observation: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """selected and subcarrier without corrections."""
        return self.corrected(observation, Corrections.none(len(observation["gate_scores"]), self.config.num_experts))

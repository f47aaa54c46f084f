"""A learned price of relevance where it is a budget of the episode."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agents.residual.base import Arrays, Itemised
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.schedulers.episode import LAST_ROUND_MULTIPLIERS
from dmoe_gym.dmoe.schedulers.scheduler import planned_rounds
from dmoe_gym.dmoe.solvers.priced import relevance_priced

# Multiples of the tuned multiplier at which every round is probed.
PROBES = np.array([0.6, 1.0, 1.6])


class BudgetResidual(Itemised):
    """Lagrangian-adaptive whose multiplier is multiplied by exp(output); one item, the round.

    Inputs: what is left to gather per round, progress, what JESA gets and pays at three multipliers in this round and,
    on average, in the rounds so far, and the multiplier at which this round, and rounds to come like those so far,
    would gather just what is left. The last round is Lagrangian-adaptive's own.

    Args:
        multiplier, gain: of `AdaptiveLagrangianJESA`.

    Raises:
        ValueError: if the configuration has no relevance budget.
    """

    underneath = "Lagrangian-adaptive"
    inputs = 10
    outputs = 1

    def __init__(self, config: DMoEConfig, multiplier: float = 2.62, gain: float = 2.0) -> None:
        if config.relevance_budget is None:
            raise ValueError("relevance_budget = None: valid for a price of relevance is a number")
        super().__init__(config)
        self.multiplier, self.gain = multiplier, gain
        self.budget = max(config.relevance_budget, 1e-9)

    def start(self, batch: int) -> Arrays:
        return {"offers": np.zeros((batch, len(PROBES), 2)), "rounds": np.zeros(batch)}

    def _offers(self, observation: Mapping[str, np.ndarray], rows: np.ndarray, multipliers: np.ndarray) -> np.ndarray:
        """Mean relevance and energy [E_ref] of JESA at every multiplier: (rows, multipliers, 2)."""
        part = {key: values[rows] for key, values in observation.items()}
        offers = np.empty((len(rows), len(multipliers), 2))
        _, _, rounds = planned_rounds(part)
        for row, (scores, efficiency, _, chosen, route) in enumerate(rounds):
            for position, multiplier in enumerate(multipliers):
                offers[row, position] = relevance_priced(scores, efficiency, self.constants, multiplier, chosen, route)
        return offers

    def see(self, observation: Mapping[str, np.ndarray], memory: Arrays) -> Arrays:
        layers = self.layers(observation)
        offers = self._offers(observation, np.arange(len(layers)), PROBES * self.multiplier)
        memory["offers"] += offers
        memory["rounds"] += 1
        seen = {"offers": offers, "mean_offers": memory["offers"] / memory["rounds"][:, None, None]}
        seen["last"] = np.zeros((len(layers), len(LAST_ROUND_MULTIPLIERS), 2))
        last = np.flatnonzero(layers == self.config.num_layers)
        seen["last"][last] = self._offers(observation, last, LAST_ROUND_MULTIPLIERS)
        return seen

    def _left(self, observation: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Relevance left to gather per round over the budget (B,), and the number of rounds left (B,)."""
        remaining = self.config.num_layers - self.layers(observation) + 1
        left = observation["budget_left"][:, 0].astype(float) * self.config.num_layers
        return left / remaining / self.budget, remaining

    def features(self, observation: Mapping[str, np.ndarray], seen: Arrays) -> np.ndarray:
        pace, remaining = self._left(observation)
        now, mean = seen["offers"], seen["mean_offers"]
        ahead = (now[..., 0] + (remaining - 1)[:, None] * mean[..., 0]) / remaining[:, None]
        return np.stack(
            [
                5 * np.clip(pace - 1, -0.5, 0.5),
                5 * np.clip(pace - 1, -0.5, 0.5) / np.sqrt(remaining),
                remaining / self.config.num_layers - 0.5,
                1 / remaining,
                5 * (mean[:, 1, 0] / self.budget - pace),
                5 * (now[:, 1, 0] - mean[:, 1, 0]),
                5 * (mean[:, 2, 0] - mean[:, 0, 0]) - 1,
                5 * (mean[:, 1, 1] - mean[:, 0, 1]),
                5 * (now[:, 2, 0] - now[:, 0, 0]) - 1,
                _level(ahead, pace * self.budget),
            ],
            -1,
        )[:, None]

    def plan(
        self, observation: Mapping[str, np.ndarray], seen: Arrays, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        pace, remaining = self._left(observation)
        multipliers = self.multiplier * np.exp(
            np.clip(self.gain * (pace - 1), -20, 20) + np.clip(outputs[:, 0, 0], -3, 3)
        )
        owed = pace * self.budget
        for last in np.flatnonzero(remaining == 1):
            relevance, energy = seen["last"][last].T
            price = self.constants.shortfall_price / self.constants.max_experts
            cost = energy + price * np.maximum(0, owed[last] - relevance)
            multipliers[last] = LAST_ROUND_MULTIPLIERS[np.argmin(cost)]
        selected, subcarrier, rounds = planned_rounds(observation)
        for row, (scores, efficiency, _, chosen, route) in enumerate(rounds):
            relevance_priced(scores, efficiency, self.constants, multipliers[row], chosen, route)
        return selected, subcarrier


def _level(gathered: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """log of the multiple of the tuned multiplier that gathers what is asked (B,), by a line through the probes.

    Args:
        gathered: (B, probes) mean relevance at each probe.
    """
    middle = gathered[:, 1]
    slopes = np.stack([middle - gathered[:, 0], gathered[:, 2] - middle], -1) / np.diff(np.log(PROBES))
    slope = np.where(asked < middle, slopes[:, 0], slopes[:, 1])
    return np.clip((asked - middle) / np.maximum(slope, 1e-2), -1, 1)

"""Schedulers for stale and noisy channel knowledge: they know its law from the configuration."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dmoe_gym.channel import GainLaw
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.dmoe.schedulers.scheduler import Correctable, Corrections, Observation, Scheduler, observed_rounds, seen
from dmoe_gym.dmoe.solvers.delivery import ChannelLaw
from dmoe_gym.dmoe.solvers.expected_cost import expected_jesa, expected_node_costs, expected_restarts
from dmoe_gym.dmoe.solvers.jesa import jesa_batch


class PredictedJESA(Scheduler):
    """JESA on the conditional mean of the present gains given the observed ones, less a safety margin.

    Args:
        margin: the predicted spectral efficiencies are multiplied by it; 1 for none.

    Raises:
        ValueError: if margin lies outside (0, 1], or the channel's law is not known.
    """

    def __init__(self, config: DMoEConfig, margin: float = 1.0) -> None:
        if not 0 < margin <= 1:
            raise ValueError(f"margin = {margin}: valid are numbers above 0 and at most 1")
        super().__init__(config)
        self.margin = margin
        self._law(0)

    def _law(self, rounds_passed: int) -> GainLaw:
        law = self.config.gain_law(rounds_passed)
        if law is None:
            raise ValueError(f"channel = {self.config.channel!r}: valid are channels whose `law` is known")
        return law

    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        size, scores, known, thresholds = seen(observation)
        snr = self.config.mean_snr
        efficiency = np.empty_like(known)
        layers = self.layers(observation)
        for layer in np.unique(layers):
            rows = layers == layer
            gains = (np.exp2(known[rows].astype(float)) - 1) / snr
            efficiency[rows] = self.margin * np.log2(1 + snr * self._law(int(layer) - 1).mean_gain(gains))
        jesa_batch(size, scores, efficiency, thresholds, self.constants, selected, subcarrier)


class ExpectedCostJESA(Correctable):
    """Schedules of least expected cost, outages included; see `solvers.expected_cost`.

    Args:
        caution: outage probabilities are multiplied by it; 1 to believe them.

    Raises:
        ValueError: if caution is negative, or the channel has a line of sight or no known law.
    """

    def __init__(self, config: DMoEConfig, caution: float = 1.0) -> None:
        if not caution >= 0:
            raise ValueError(f"caution = {caution}: valid are numbers of at least 0")
        super().__init__(config)
        self.caution = float(caution)
        self.laws = [ChannelLaw.of(config, passed) for passed in range(config.num_layers)]

    def fill_corrected(self, observation: Observation, corrections: Corrections, *schedule: np.ndarray) -> None:
        rounds = observed_rounds(observation, *schedule)
        known = self._knowledge(observation, corrections)
        for given, (scores, efficiency, threshold, chosen, route) in zip(known, rounds, strict=True):
            expected_jesa(scores, efficiency, threshold, *given, chosen, route)

    def _knowledge(
        self, observation: Observation, corrections: Corrections
    ) -> Iterator[tuple[Constants, ChannelLaw, np.ndarray, np.ndarray]]:
        """Every round's constants at corrected prices, law, cautions (K,) and prices (K,)."""
        for row, layer in enumerate(self.layers(observation)):
            constants = corrections.constants(self.constants, row)
            yield constants, self.laws[layer - 1], self.caution * corrections.caution[row], corrections.prices[row]


class ExpectedCostRestarts(ExpectedCostJESA):
    """Expected-cost JESA, then restarts of its local search with one link given (`solvers.restarts`).

    The links are tried in the order of their node's expected cost times the largest gate score that they could serve.

    Args:
        caution: as of `ExpectedCostJESA`.
        tries: restarts per round, K * K at most.

    Raises:
        ValueError: if tries is less than 1, and as `ExpectedCostJESA`.
    """

    def __init__(self, config: DMoEConfig, caution: float = 1.0, tries: int = 64) -> None:
        if tries < 1:
            raise ValueError(f"tries = {tries}: valid are whole numbers of at least 1")
        super().__init__(config, caution)
        self.tries = tries

    def fill_corrected(self, observation: Observation, corrections: Corrections, *schedule: np.ndarray) -> None:
        super().fill_corrected(observation, corrections, *schedule)
        costs = np.empty(self.config.num_experts)
        rounds = observed_rounds(observation, *schedule)
        known = self._knowledge(observation, corrections)
        for given, (scores, rates, threshold, chosen, route) in zip(known, rounds, strict=True):
            law = (scores, rates, threshold, *given)
            expected_node_costs(*law, chosen, route, costs)
            promise = costs[:, None] * scores.max(1)
            links = np.argsort(-promise.ravel(), kind="stable")[: self.tries]
            expected_restarts(*law, links, chosen, route)

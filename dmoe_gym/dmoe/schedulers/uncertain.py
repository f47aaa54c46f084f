"""Schedulers for stale and noisy channel knowledge: they know its law from the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.dmoe.schedulers.corrections import Correctable, Corrections
from dmoe_gym.dmoe.schedulers.scheduler import Planner, empty_plan, observed_rounds, planned_rounds
from dmoe_gym.dmoe.solvers.channel_law import Outlook, predicted_gains
from dmoe_gym.dmoe.solvers.expected_cost import expected_jesa
from dmoe_gym.dmoe.solvers.jesa import jesa_batch
from dmoe_gym.dmoe.solvers.restarts import expected_detours, expected_node_costs


class PredictedJESA(Planner):
    """JESA on the conditional mean of the present gains given the observed ones, less a safety margin.

    Args:
        margin: the predicted spectral efficiencies are multiplied by it; 1 for none.

    Raises:
        ValueError: if margin lies outside (0, 1].
    """

    def __init__(self, config: DMoEConfig, margin: float = 1.0) -> None:
        if not 0 < margin <= 1:
            raise ValueError(f"margin = {margin}: valid are numbers above 0 and at most 1")
        super().__init__(config)
        self.margin = margin

    def plan(self, observation: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        selected, subcarrier = empty_plan(observation)
        snr = self.config.mean_snr
        efficiency = np.empty_like(observation["spectral_efficiency"])
        layers = self.layers(observation)
        for layer in np.unique(layers):
            rows = layers == layer
            gains = (np.exp2(observation["spectral_efficiency"][rows].astype(float)) - 1) / snr
            efficiency[rows] = self.margin * np.log2(1 + snr * predicted_gains(gains, self.config, int(layer) - 1))
        thresholds = observation["threshold"][:, 0]
        scores = observation["gate_scores"]
        jesa_batch(len(thresholds), scores, efficiency, thresholds, self.constants, selected, subcarrier)
        return selected, subcarrier


class ExpectedCostJESA(Correctable):
    """Schedules of least expected cost, outages included; see `solvers.expected_cost`.

    Args:
        caution: outage probabilities are multiplied by it; 1 to believe them.

    Raises:
        ValueError: if caution is negative, or the channel has a line of sight.
    """

    def __init__(self, config: DMoEConfig, caution: float = 1.0) -> None:
        if not caution >= 0:
            raise ValueError(f"caution = {caution}: valid are numbers of at least 0")
        super().__init__(config)
        self.caution = float(caution)
        self.outlooks = [Outlook.of(config, passed) for passed in range(config.num_layers)]

    def corrected(
        self, observation: Mapping[str, np.ndarray], corrections: Corrections
    ) -> tuple[np.ndarray, np.ndarray]:
        selected, subcarrier, rounds = planned_rounds(observation)
        laws = self._laws(observation, corrections)
        for (law, caution, prices), (scores, efficiency, threshold, chosen, route) in zip(laws, rounds, strict=True):
            expected_jesa(scores, efficiency, threshold, *law, caution, prices, chosen, route)
        return selected, subcarrier

    def _laws(
        self, observation: Mapping[str, np.ndarray], corrections: Corrections
    ) -> Iterator[tuple[tuple[Constants, Outlook], np.ndarray, np.ndarray]]:
        """Every round's constants at corrected prices with its outlook, cautions (K,) and prices (K,)."""
        for row, layer in enumerate(self.layers(observation)):
            prices = corrections.prices[row]
            constants = self.constants._replace(
                computation=self.constants.computation * prices,
                shortfall_price=self.constants.shortfall_price * float(corrections.relevance[row]),
            )
            yield (constants, self.outlooks[layer - 1]), self.caution * corrections.caution[row], prices


class ExpectedCostDetours(ExpectedCostJESA):
    """Expected-cost JESA, then restarts of its local search with one link given (`solvers.detours`).

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

    def corrected(
        self, observation: Mapping[str, np.ndarray], corrections: Corrections
    ) -> tuple[np.ndarray, np.ndarray]:
        selected, subcarrier = super().corrected(observation, corrections)
        thresholds = observation["threshold"][:, 0]
        efficiency = observation["spectral_efficiency"]
        costs = np.empty(self.config.num_experts)
        rounds = observed_rounds(observation["gate_scores"], efficiency, thresholds, selected, subcarrier)
        laws = self._laws(observation, corrections)
        for (law, caution, prices), (scores, rates, threshold, chosen, route) in zip(laws, rounds, strict=True):
            given = (scores, rates, threshold, *law, caution, prices)
            expected_node_costs(*given, chosen, route, costs)
            promise = costs[:, None] * scores.max(1)
            links = np.argsort(-promise.ravel(), kind="stable")[: self.tries]
            expected_detours(*given, links, True, chosen, route, np.empty(len(links)))
        return selected, subcarrier

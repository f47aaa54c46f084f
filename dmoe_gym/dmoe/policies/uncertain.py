"""Schedulers for stale and noisy channel knowledge: they know its law from the configuration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.policies.planner import Planner, empty_plan, planned_rounds
from dmoe_gym.dmoe.solvers.expected_cost import expected_jesa
from dmoe_gym.dmoe.solvers.jesa import jesa_batch
from dmoe_gym.dmoe.solvers.outlook import Outlook, predicted_gains


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


class ExpectedCostJESA(Planner):
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

    def plan(self, observation: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        selected, subcarrier, rounds = planned_rounds(observation)
        for layer, (scores, efficiency, threshold, chosen, route) in zip(self.layers(observation), rounds, strict=True):
            outlook = self.outlooks[layer - 1]
            expected_jesa(scores, efficiency, threshold, self.constants, outlook, self.caution, chosen, route)
        return selected, subcarrier

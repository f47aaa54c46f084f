"""One-shot scheduling with learned prices and preferences of links."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agents.networks.shared import SharedNetwork
from agents.residual.base import Arrays, Compiled
from agents.residual.priced_links import INPUTS, OUTPUTS, cost_batch, plan_batch
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.schedulers.rounds import OneShot


class OneShotResidual(Compiled):
    """One-shot scheduling whose network says, of every link, a factor on its energy and a bonus on its preference.

    One item per link, and the same weights for any K, N and M: its inputs are free of the scenario's scale
    (`priced_links.look`). It is asked where the survey finds two links that want the same subcarrier.

    Args:
        candidates, hard: of `OneShot`.

    Raises:
        ValueError: as `OneShot`; and if the channel is not known, for what is learned is the cost as observed.
    """

    underneath = "one-shot"
    softsign = True
    inputs = INPUTS
    outputs = OUTPUTS

    def __init__(self, config: DMoEConfig, candidates: int = 5, hard: int = 0) -> None:
        super().__init__(config)
        scheduler = OneShot(config, candidates, bool(hard))
        if not config.enforces_threshold:
            raise ValueError(f"csi = {config.csi}: valid for learned prices of links is perfect knowledge")
        self.constants, self.candidates = scheduler.constants, scheduler.candidates

    def start(self, batch: int) -> Arrays:
        return {"rounds": np.zeros(batch)}

    def see(self, observation: Mapping[str, np.ndarray], memory: Arrays) -> Arrays:
        return {name: observation[name].copy() for name in ("gate_scores", "spectral_efficiency", "threshold")}

    def decide(
        self, network: SharedNetwork, observation: Mapping[str, np.ndarray], seen: Arrays, parameters: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        scores, efficiency, thresholds = _round(observation)
        selected = np.empty(scores.shape, np.bool_)
        subcarrier = np.empty(efficiency.shape[:3], np.int64)
        share = len(scores) // len(parameters)
        for p, weights in enumerate(parameters):
            part = slice(p * share, (p + 1) * share)
            plan_batch(
                share, scores[part], efficiency[part], thresholds[part], self.constants, self.candidates,
                weights, network.width, selected[part], subcarrier[part],
            )  # fmt: skip
        return selected, subcarrier

    def costs(self, network: SharedNetwork, seen: Arrays, parameters: np.ndarray) -> np.ndarray:
        scores, efficiency, thresholds = _round(seen)
        costs = np.empty((len(parameters), len(scores)))
        cost_batch(
            scores, efficiency, thresholds, self.constants, self.candidates, parameters, network.width, costs
        )  # fmt: skip
        return costs


def _round(observation: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gate scores, spectral efficiency and thresholds as the compiled code wants them."""
    return (
        np.ascontiguousarray(observation["gate_scores"], np.float32),
        np.ascontiguousarray(observation["spectral_efficiency"], np.float32),
        np.ascontiguousarray(observation["threshold"], np.float32)[:, 0],
    )

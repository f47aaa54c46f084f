"""Learned node prices where nodes have batteries."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agents.residual.base import Arrays, Itemised, remember_scores
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.schedulers.episode import BatteryJESA


class BatteryResidual(Itemised):
    """JESA-battery whose node prices are multiplied by exp(output), one item per node.

    A node's inputs: how far its battery is behind the episode, battery and rounds left, its computation energy, and
    how much its expert is asked for: by all hidden states so far, by its own, and in this round.

    Args:
        strength, power: of `BatteryJESA`.

    Raises:
        ValueError: if the configuration has no batteries.
    """

    underneath = "JESA-battery"
    inputs = 7
    outputs = 1

    def __init__(self, config: DMoEConfig, strength: float = 3.0, power: float = 8.0) -> None:
        super().__init__(config)
        self.scheduler = BatteryJESA(config, strength, power)

    def start(self, batch: int) -> Arrays:
        experts = self.config.num_experts
        return {"scores": np.zeros((batch, experts, experts)), "rounds": np.zeros(batch)}

    def see(self, observation: Mapping[str, np.ndarray], memory: Arrays) -> Arrays:
        scores = remember_scores(observation, memory)
        demand = scores.sum(1) - 1
        own = np.diagonal(scores, axis1=1, axis2=2) - 1 / self.config.num_experts
        return {"demand": np.stack([demand, own, observation["gate_scores"].mean(2).sum(1) - 1], -1)}

    def features(self, observation: Mapping[str, np.ndarray], seen: Arrays) -> np.ndarray:
        share, left = self.scheduler.shares(observation)
        computation = observation["computation_energy"].astype(float)
        own = [
            np.clip(np.log(left / share), -3, 3),
            share,
            np.broadcast_to(left, share.shape),
            computation / computation.mean(-1, keepdims=True) - 1,
        ]
        return np.concatenate([np.stack(own, -1), seen["demand"]], -1)

    def plan(
        self, observation: Mapping[str, np.ndarray], seen: Arrays, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        prices = self.scheduler.prices(observation) * np.exp(np.clip(outputs[..., 0], -5, 5))
        return self.scheduler.plan_at(observation, prices)

"""Scheduling at learned prices as the policy of a learner."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agents.networks.vector import VectorPolicy
from agents.prices.scheduler import PriceScheduler, network
from dmoe_gym.policy import BatchPolicy
from dmoe_gym.wdmoe import WDMoEConfig
from dmoe_gym.wdmoe.policies import JointPolicy


class PricePolicy(VectorPolicy, BatchPolicy):
    """Acts in `WDMoE-Joint-v0`; deterministic, without memory.

    Args:
        config: the system.
        rounds, polish, width: of `PriceScheduler`.
        seed: of the hidden layer's first weights.
        learning_rate: of Adam.
    """

    key, dimensions = JointPolicy.key, JointPolicy.dimensions

    def __init__(
        self, config: WDMoEConfig, rounds: int, polish: bool, width: int, seed: int, learning_rate: float
    ) -> None:
        super().__init__(network(width), seed, learning_rate)
        self.config, self.rounds, self.polish, self.width = config, rounds, polish, width

    def scheduler(self) -> PriceScheduler:
        """The scheduler with the present parameters."""
        parameters = self.parameters_vector.detach().numpy()
        return PriceScheduler(self.config, parameters, rounds=self.rounds, polish=self.polish, width=self.width)

    def actions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return JointPolicy(self.scheduler()).actions(batch)

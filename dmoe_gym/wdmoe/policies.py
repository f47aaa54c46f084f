"""Schedulers as policies of the environment in which an allocation is one action."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dmoe_gym.policy import SchedulerPolicy
from dmoe_gym.wdmoe.env.joint import encode_joint
from dmoe_gym.wdmoe.schedulers import WLR, Greedy, Observed, Priced, Random, Scheduler, TopK

__all__ = ["WLR", "Greedy", "JointPolicy", "Observed", "Priced", "Random", "Scheduler", "TopK"]


class JointPolicy(SchedulerPolicy):
    """A scheduler that acts in `WDMoE-Joint-v0`."""

    key, dimensions = "gate_weights", 2

    def actions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return encode_joint(*self.scheduler.schedule(batch))

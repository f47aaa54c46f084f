"""Schedulers as policies of the environment in which an allocation is one action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dmoe_gym.policy import as_batch
from dmoe_gym.wdmoe.env.joint import encode_joint
from dmoe_gym.wdmoe.policies.observed import Observed
from dmoe_gym.wdmoe.policies.schedulers import Scheduler


class JointPolicy:
    """A scheduler that acts in `WDMoE-Joint-v0`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def predict(
        self,
        observation: Mapping[str, np.ndarray],
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """One action per observed block."""
        batch, batched = as_batch(observation, "gate_weights", 2)
        actions = encode_joint(*self.scheduler.schedule(Observed.of(self.scheduler.config, batch)))
        return actions if batched else actions[0], None

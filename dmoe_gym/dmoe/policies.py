"""Schedulers as policies of the environments that decide whole rounds or build them pick by pick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dmoe_gym.dmoe.env.joint import encode_joint
from dmoe_gym.dmoe.env.sequential import next_picks
from dmoe_gym.dmoe.schedulers.rounds import DES, JESA, ChannelGreedy, Homogeneous, Random, TopK
from dmoe_gym.dmoe.schedulers.scheduler import Scheduler, nothing_planned
from dmoe_gym.dmoe.solvers import solve_des
from dmoe_gym.policy import BatchPolicy, SchedulerPolicy, as_batch, remembered

__all__ = [
    "DES",
    "JESA",
    "ChannelGreedy",
    "DESPolicy",
    "Homogeneous",
    "JointPolicy",
    "Random",
    "Scheduler",
    "SequentialPolicy",
    "TopK",
]


class JointPolicy(SchedulerPolicy):
    """A scheduler that acts in `DMoE-JESA-v0`."""

    key, dimensions = "gate_scores", 3

    def actions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        return encode_joint(*self.scheduler.schedule(batch))


class SequentialPolicy:
    """A scheduler that acts in `DMoE-JESA-Sequential-v0`.

    It plans the whole round at its first pick and keeps the plan as the policy state; without the state it plans
    again, to the same effect, as long as the scheduler is deterministic.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler

    def predict(
        self,
        observation: Mapping[str, np.ndarray],
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """The next pick of every observed round."""
        batch, batched = as_batch(observation, "gate_scores", 3)
        size = len(batch["gate_scores"])
        first = (batch["turn"][:, 0] > 0) & ~batch["selected"].any(axis=(1, 2, 3))
        if state is None or len(state[0]) != size:
            state = *nothing_planned(batch), {}
            first[:] = True
        if first.any():
            rows = np.flatnonzero(first)
            memory = remembered(self.scheduler, state[2], batch, rows)
            part = {key: values[rows] for key, values in (batch | memory).items()}
            state[0][rows], state[1][rows] = self.scheduler.schedule(part)
            state = *state[:2], memory
        actions = next_picks(
            state[0], state[1], batch["selected"], batch["turn"], batch["spectral_efficiency"].shape[-1]
        )
        return actions if batched else actions[0], state


class DESPolicy(BatchPolicy):
    """DES, exact for each hidden state, in `DMoE-DES-v0`; `k` replaces it by the k best gate scores."""

    key, dimensions = "gate_scores", 1

    def __init__(self, max_experts: int, k: int | None = None) -> None:
        self.max_experts = max_experts
        self.k = k

    def actions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        scores = batch["gate_scores"]
        if self.k is None:
            selected = solve_des(scores, batch["energy"], batch["threshold"][:, 0], self.max_experts)
        else:
            selected = np.argsort(np.argsort(-scores, axis=-1, kind="stable"), axis=-1) < self.k
        return selected.astype(np.int8)

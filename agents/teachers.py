"""Schedulers whose plans are imitated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dmoe_gym.dmoe import DMoEConfig, Round, solve_exact
from dmoe_gym.dmoe.line_up import SCHEDULERS
from dmoe_gym.dmoe.schedulers.scheduler import Scheduler, observed_rounds


class Exact(Scheduler):
    """The exact optimum of what is observed: a teacher, as it is far too slow for a scheduler."""

    def fill(self, observation: Mapping[str, np.ndarray], selected: np.ndarray, subcarrier: np.ndarray) -> None:
        # what is observed is there and back already
        config = self.config.replace(return_transmission=False)
        for scores, efficiency, threshold, chosen, route in observed_rounds(observation, selected, subcarrier):
            gains = (np.exp2(efficiency) - 1) / self.config.mean_snr
            schedule = solve_exact(Round(scores, gains, threshold, config))
            chosen[:] = schedule.selected
            route[:] = np.where(schedule.allocated.any(-1), schedule.allocated.argmax(-1), -1)


def teacher_scheduler(name: str, config: DMoEConfig) -> Scheduler:
    """An analytic policy of the environment by its name in tables, or "exact".

    Raises:
        ValueError: for another name; the message lists the valid ones.
    """
    if name == "exact":
        return Exact(config)
    if name not in SCHEDULERS:
        raise ValueError(f"imitation.teacher = {name!r}: valid are exact, {', '.join(SCHEDULERS)}")
    return SCHEDULERS[name](config)


class Teacher:
    """Plans of whole rounds, told pick by pick in any order.

    Args:
        name: see `teacher_scheduler`.
        config: the DMoE configuration.
    """

    def __init__(self, name: str, config: DMoEConfig) -> None:
        self.scheduler = teacher_scheduler(name, config)
        self._selected: np.ndarray | None = None
        self._subcarrier: np.ndarray | None = None

    def targets(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """(B, K * M + 1) bool: every pick that carries the plan on, or "done" where none is left.

        A round is planned when it is seen first, with nothing selected yet.
        """
        scores, efficiency, picked = (observation[key] for key in ("gate_scores", "spectral_efficiency", "selected"))
        batch, experts, states, _ = scores.shape
        subcarriers = efficiency.shape[-1]
        new = (observation["turn"][:, 0] > 0) & ~picked.any(axis=(1, 2, 3))
        if self._selected is None or self._subcarrier is None or len(self._selected) != batch:
            self._selected = np.zeros(scores.shape, np.bool_)
            self._subcarrier = np.full(efficiency.shape[:3], -1, np.int64)
            new[:] = True
        rows = np.flatnonzero(new)
        if len(rows):
            plan = self.scheduler.schedule({key: values[rows] for key, values in observation.items()})
            self._selected[rows], self._subcarrier[rows] = plan
        everyone = np.arange(batch)
        i, n = np.divmod(observation["turn"].argmax(-1), states)
        missing = self._selected[everyone, i, n] & ~(picked[everyone, i, n] > 0)  # (B, K)
        targets = np.zeros((batch, experts, subcarriers), np.bool_)
        row, j = np.nonzero(missing)
        targets[row, j, np.maximum(self._subcarrier[row, i[row], j], 0)] = True
        return np.concatenate([targets.reshape(batch, -1), ~missing.any(-1, keepdims=True)], axis=1)

"""Time per decision: what is counted, without judging wall clocks."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from dmoe_gym.evaluation.run import time_per_decision

TINY = {"num_experts": 3, "num_subcarriers": 6, "num_layers": 4}
NAP = 0.002


class _Idler:
    """Takes the first feasible pick, after NAP seconds of one core."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True, **masks: Any
    ) -> tuple[np.ndarray, Any]:
        until = time.process_time() + NAP  # sleeping would take no processor time
        while time.process_time() < until:
            pass
        self.batches.append(len(observation["gate_scores"]))
        if masks:
            return masks["action_masks"].argmax(-1), None
        picks = 3 * 3 + 3 * 2
        return np.zeros((len(observation["gate_scores"]), picks), int), None


class _Masked(_Idler):
    def predict(  # type: ignore[override]
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True,
        action_masks: Any = None,
    ) -> tuple[np.ndarray, Any]:  # fmt: skip
        return super().predict(observation, action_masks=action_masks)


def test_whole_rounds_take_one_call_per_batch() -> None:
    policy = _Idler()
    milliseconds = time_per_decision(policy, "DMoE-JESA-v0", overrides=TINY, rounds=5, repeats=2)
    assert policy.batches == [5, 5, 5]  # one batch that is not timed, two that are, one round each
    assert milliseconds >= 1e3 * NAP / 5


def test_rounds_that_are_decided_pick_by_pick_take_all_their_picks() -> None:
    policy = _Masked()
    milliseconds = time_per_decision(policy, "DMoE-JESA-Sequential-v0", overrides=TINY, rounds=5, repeats=1)
    picks = len(policy.batches) // 2
    # at least one pick per hidden state, at most D = 2 and "done"
    assert 3 <= picks <= 9
    assert milliseconds >= 1e3 * NAP * 3 / 5

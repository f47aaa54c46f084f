"""Time per decision: what is counted, without judging wall clocks."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from dmoe_gym.evaluation import evaluate, held_out_seeds
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
        if masks.get("action_masks") is not None:
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


def test_other_episodes_are_timed_in_every_batch_all_of_them_held_out() -> None:
    class Watching(_Idler):
        seen: ClassVar[list[np.ndarray]] = []

        def predict(self, observation: Any, **options: Any) -> tuple[np.ndarray, Any]:  # type: ignore[override]
            self.seen.append(np.array(observation["gate_scores"]))
            return super().predict(observation, **options)

    time_per_decision(Watching(), "DMoE-JESA-v0", overrides=TINY, rounds=2, repeats=1)
    env = gym.make("DMoE-JESA-v0", **TINY)
    for place, seed in enumerate(held_out_seeds(4)):
        observation, _ = env.reset(seed=seed)
        np.testing.assert_array_equal(np.concatenate(Watching.seen)[place], observation["gate_scores"])


def test_thinking_is_milliseconds_per_round_and_masks_are_for_who_has_them() -> None:
    """Four rounds of one call each; where there are no masks, none are asked for."""
    policy = _Masked()
    (row,) = evaluate(policy, "DMoE-JESA-v0", seeds=[1], **TINY)
    assert row["predict_ms"] >= 1e3 * NAP
    assert row["predict_ms"] < 1e6 * NAP
    assert time_per_decision(policy, "DMoE-JESA-v0", overrides=TINY, rounds=2, repeats=1) > 0


def test_rounds_that_are_decided_pick_by_pick_take_all_their_picks() -> None:
    policy = _Masked()
    milliseconds = time_per_decision(policy, "DMoE-JESA-Sequential-v0", overrides=TINY, rounds=5, repeats=1)
    picks = len(policy.batches) // 2
    # at least one pick per hidden state, at most D = 2 and "done"
    assert 3 <= picks <= 9
    assert milliseconds >= 1e3 * NAP * 3 / 5

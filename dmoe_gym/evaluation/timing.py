"""Time per decision: processor time until the schedules of a batch of rounds are decided, per round."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from dmoe_gym.evaluation.seeds import held_out_seeds
from dmoe_gym.facades.view import View, create_view
from dmoe_gym.policy import Policy, decide

ROUNDS = 1024


def time_per_decision(
    policy: Policy,
    env_id: str,
    *,
    scenario: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    rounds: int = ROUNDS,
    repeats: int = 5,
) -> float:
    """Milliseconds of one core per round, from observations to charged schedules; the median over repeated batches.

    Counted are observing, masks, `predict` (all picks of a round where it is decided pick by pick) and the
    environment's step: decoding, repairs and accounts, which are the same for every policy of an id. Episodes end after
    their first round here, so no channel is drawn in that time.
    Processor time, all threads together, hardly depends on what else the machine does; wall time on an idle machine is
    at most that.

    Args:
        policy: anything with Stable-Baselines3's `predict`.
        env_id, scenario, overrides: where it acts.
        rounds: in a batch.
        repeats: batches that are timed, after one that is not.
    """
    view = create_view(env_id, rounds, scenario, dict(overrides or {}))
    core = view.core
    core.rounds_per_episode = 1
    durations = []
    for repeat in range(repeats + 1):
        core.seed(core.all_rows, [(seed, 0) for seed in held_out_seeds(rounds, repeat * rounds)])
        core.start(core.all_rows)
        began = time.process_time()
        _decide(view, policy)
        durations.append(time.process_time() - began)
    return float(np.median(durations[1:])) / rounds * 1e3


def _decide(view: View, policy: Policy) -> None:
    """Decide the one round of every environment."""
    core = view.core
    takes_masks = core.masked and "action_masks" in inspect.signature(policy.predict).parameters
    running = core.all_rows
    state: Any = None
    start = np.ones(core.num_envs, np.bool_)
    while len(running):
        observation = view.batch()
        masks = {"action_masks": core.masks().copy()} if takes_masks else {}
        actions, state = decide(policy, observation, state=state, episode_start=start, **masks)
        core.step(core.checked_actions(actions), running)
        running = running[~core.terminated[running]]
        start[:] = False

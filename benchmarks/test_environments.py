"""Environment steps against drawing the same random numbers alone, and one environment against a batch."""

from __future__ import annotations

import pytest

from benchmarks.environments import STEPS_PER_ROUND, Draws, Stepper
from benchmarks.side_by_side import Row, faster

# (scenario, environments, aim for DMoE-JESA-v0)
SIZES = [("small", 1, None), ("small", 64, None), ("small", 1024, 1.5), ("paper", 256, 1.5)]


@pytest.mark.parametrize(("scenario", "num_envs", "aim"), SIZES)
@pytest.mark.parametrize("env_id", STEPS_PER_ROUND)
def test_steps_against_draws(in_turns, report, env_id, scenario, num_envs, aim):
    stepper = Stepper(env_id, scenario, num_envs)
    draws = Draws(stepper.config, num_envs)
    # enough calls in a round for clocks to be exact
    repeats = max(1, 256 // (num_envs * stepper.steps))

    def ours():
        for _ in range(repeats):
            stepper()

    def other():
        for _ in range(repeats * max(1, round(stepper.rounds_per_call))):
            draws()

    ours()
    drawn = max(1, round(stepper.rounds_per_call))
    mine, theirs = in_turns(ours, other, rounds=10)
    # time per round that an environment drew: steps over draws
    times = faster(theirs, mine, drawn, stepper.rounds_per_call)
    per_second = repeats * stepper.steps * num_envs / min(mine.wall)
    report(
        Row(
            f"{env_id} {scenario}, {num_envs} environment{'s' * (num_envs > 1)}",
            "drawing the same random numbers alone (1 = as long)",
            *times,
            aim=aim if env_id == "DMoE-JESA-v0" else None,
            at_least=False,
            details={
                "steps_per_s": per_second,
                "steps_per_round": stepper.steps / stepper.rounds_per_call,
                "us_per_step": 1e6 / per_second,
                "us_per_draw": 1e6 * min(theirs.wall) / (repeats * drawn * num_envs),
            },
        )
    )

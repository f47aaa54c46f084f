"""Residual environments against the scheduler underneath alone, on the same rounds."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.side_by_side import Row, faster
from dmoe_gym.registration import create_core

AIM, NUM_ENVS = 1.5, 256


@pytest.mark.parametrize("scenario", ["small", "budget", "battery", "harvest", "blockage", "stale"])
def test_steps_against_the_scheduler_underneath(in_turns, report, scenario):
    core = create_core("DMoE-JESA-Residual-v0", NUM_ENVS, scenario, {})
    core.seed(core.all_rows, [(0, row) for row in range(NUM_ENVS)])
    core.start(core.all_rows)
    scheduler = core.underneath
    actions = np.zeros((NUM_ENVS, *core.action_space.shape), np.float32)
    memory = {name: values.copy() for name, values in core.remembered.items()}
    # one round of a running episode, of which the scheduler alone sees a copy
    seen = {name: values.copy() for name, values in core.inputs.items()}

    def alone():
        scheduler.schedule(seen | scheduler.remember(memory, seen))

    def steps():
        if core.terminated.all():
            core.start(core.all_rows)
        core.step(actions, core.all_rows)

    mine, theirs = in_turns(steps, alone, rounds=12)
    report(
        Row(
            f"DMoE-JESA-Residual-v0 {scenario}, {NUM_ENVS} environments",
            "the scheduler underneath alone (1 = as long)",
            *faster(theirs, mine),
            aim=AIM,
            at_least=False,
            details={"us_per_step": 1e6 * min(mine.wall) / NUM_ENVS, "us_alone": 1e6 * min(theirs.wall) / NUM_ENVS},
        )
    )

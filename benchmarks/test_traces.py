"""Environment steps with recorded gate scores against the same steps with drawn ones."""

from __future__ import annotations

import pytest

from benchmarks.environments import Stepper
from benchmarks.side_by_side import Row, faster


@pytest.mark.parametrize("env_id", ["DMoE-JESA-v0", "DMoE-JESA-Price-v0"])
def test_trace_against_dirichlet(in_turns, report, env_id):
    recorded = Stepper(env_id, "recorded", 256)
    drawn = Stepper(env_id, "recorded", 256, relevance="dirichlet")
    mine, theirs = in_turns(recorded, drawn, rounds=20)
    report(
        Row(
            f"{env_id} recorded, 256 environments, gate scores from the trace",
            "the same with Dirichlet gate scores",
            *faster(mine, theirs),
            aim=1.0,
            details={"us_per_step": 1e6 * min(mine.wall) / (recorded.steps * 256)},
        )
    )

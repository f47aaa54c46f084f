"""The headline comparison: its arithmetic on rows with known effects, and the experiment on few episodes."""

from __future__ import annotations

import pytest

from experiments.runner import Runner
from experiments.wdmoe import WDMoE, effect, effect_cells, latency_cells

# policy -> share of vanilla's latency; vanilla takes 10 ms in even and 30 ms in odd episodes
SHARES = {
    "top-2-equal": 1.0,
    "top-2-optimal": 0.5,
    "WLR-equal": 0.9,
    "WLR-optimal": 0.4,
    "greedy-equal": 0.8,
    "greedy-optimal": 0.3,
    "priced-optimal": 0.25,
}


@pytest.fixture
def groups():
    return {
        policy: [{"seed": seed, "latency_ms": share * (30 if seed % 2 else 10)} for seed in range(10)]
        for policy, share in SHARES.items()
    }


def test_effects_are_paired_and_relative_to_vanillas_mean(groups):
    assert effect(groups, "WLR-optimal", "top-2-equal").mean == pytest.approx(-60)
    # the same 0.1 of every episode's latency: 1 or 3 of a mean of 20 ms
    selection = effect(groups, "WLR-optimal", "top-2-optimal")
    assert selection.mean == pytest.approx(-10)
    assert -15 <= selection.low < -10 < selection.high <= -5


def test_tables_have_a_cell_for_everything_and_a_dash_for_what_is_missing(groups):
    headings, body = latency_cells({"testbed": groups})
    assert headings == ["policy", "testbed [ms]", "relevance"]
    assert [line[0] for line in body] == list(SHARES)
    assert all(line[2] == "–" for line in body)
    headings, body = effect_cells({"testbed": groups})
    assert all(len(line) == len(headings) for line in body)


def test_the_experiment_compares_every_policy_and_bound(tmp_path):
    experiment = WDMoE(scenarios=("testbed",), episodes=2)
    runner = Runner(tmp_path)
    assert runner.run(experiment) == 0
    page = experiment.page(runner.values(experiment))
    ((place, text),) = page.sections.items()
    assert place == ("docs/reports/wdmoe.md", "wdmoe-comparison")
    for name in (*SHARES, "random", "exact", "lower-bound"):
        assert f"| {name} |" in text
    assert list(page.pictures) == ["docs/images/wdmoe_latency.png"]

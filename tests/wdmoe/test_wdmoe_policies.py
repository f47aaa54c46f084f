"""The analytic policies decide what the solvers decide, from the observation alone."""

from __future__ import annotations

import numpy as np
import pytest

from dmoe_gym.evaluation import evaluate, evaluate_bound, evaluate_line_up, line_up_of
from dmoe_gym.wdmoe import (
    Allocation,
    allocate_bandwidth,
    latency,
    select_experts,
    solve_greedy,
    solve_joint,
    solve_priced,
    top_k,
)
from dmoe_gym.wdmoe.env.joint import JointCore
from dmoe_gym.wdmoe.system import WDMOE


def equal_shares(block, selected):
    active = selected.any(axis=0)
    return Allocation(selected, active * block.config.bandwidth_hz / active.sum())


def optimal_shares(block, selected):
    return Allocation(selected, allocate_bandwidth(block, selected))


def faster(block, *allocations):
    return min(allocations, key=lambda allocation: latency(block, allocation).total)


SOLVERS = {
    "top-2-equal": lambda block: equal_shares(block, top_k(block, 2)),
    "top-2-optimal": lambda block: optimal_shares(block, top_k(block, 2)),
    "WLR-equal": lambda block: faster(
        block, *(equal_shares(block, select_experts(block, direction=way)) for way in ("below", "above"))
    ),
    "WLR-optimal": lambda block: faster(block, *(solve_joint(block, direction=way) for way in ("below", "above"))),
    "greedy-equal": lambda block: equal_shares(block, solve_greedy(block).selected),
    "greedy-optimal": lambda block: solve_greedy(block),
    "priced-optimal": lambda block: solve_priced(block),
}


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("scenario", ["testbed", "mixtral", "crowd"])
def test_policies_reproduce_the_solvers_latency(name, scenario):
    """Within 1e-5: 32-bit observations and actions cost that little."""
    policy = line_up_of("WDMoE-v0", scenario).policies[name]
    core = JointCore(4, WDMOE.configuration(scenario, {"num_blocks": 2}))
    core.seed(core.all_rows, [(5, row) for row in core.all_rows])
    core.start(core.all_rows)
    while not core.terminated.any():
        expected = [latency(block := core.round(row), SOLVERS[name](block)).total for row in core.all_rows]
        actions, _ = policy.predict(core.observations)
        single, _ = policy.predict({key: values[2] for key, values in core.observations.items()})
        assert (single == actions[2]).all()
        core.step(core.checked_actions(actions), core.all_rows)
        np.testing.assert_allclose(core.terms["latency_s"], expected, rtol=1e-5)
        assert not core.terms["repairs"].any()


@pytest.fixture(scope="module")
def rows():
    return evaluate_line_up("WDMoE-v0", scenario="testbed", seeds=range(4), num_tokens=8, num_blocks=4)


def test_nobody_beats_the_optimum_and_nobody_violates_anything(rows):
    optimum = {row["seed"]: row["cost"] for row in rows if row["policy"] == "exact"}
    bound = {row["seed"]: row["cost"] for row in rows if row["policy"] == "lower-bound"}
    policies = {row["policy"] for row in rows} - {"exact", "lower-bound"}
    assert policies == set(line_up_of("WDMoE-v0").policies)
    for row in rows:
        assert row["cost"] >= bound[row["seed"]]
        if row["policy"] in policies:
            assert row["cost"] >= optimum[row["seed"]] * (1 - 1e-8)
            assert row["violations"] == 0
            assert row["return"] == pytest.approx(-4 * row["cost"])


def test_the_exact_optimum_is_in_the_line_up_only_where_it_is_affordable():
    assert line_up_of("WDMoE-v0", "testbed").optimum == "exact"
    assert line_up_of("WDMoE-Joint-v0", "crowd").bounds == ("lower-bound",)


def test_lower_bound_rows_have_a_latency_and_no_relevance():
    (row,) = evaluate_bound("lower-bound", "WDMoE-v0", scenario="testbed", seeds=[0], num_blocks=2)
    assert row["latency_ms"] == pytest.approx(1e3 * row["latency_s"])
    assert "relevance" not in row


def test_learned_and_analytic_policies_meet_on_the_same_episodes():
    """Action 0 of WDMoE-v0 is top-2 at optimal bandwidths, which WDMoE-Joint-v0 reaches through its encoding."""

    class Zero:
        def predict(self, observation, state=None, episode_start=None, deterministic=True):
            return np.zeros((len(observation["progress"]), 8), np.float32), None

    zero = evaluate(Zero(), "WDMoE-v0", scenario="testbed", seeds=range(3))
    top = evaluate(
        line_up_of("WDMoE-v0").policies["top-2-optimal"], "WDMoE-Joint-v0", scenario="testbed", seeds=range(3)
    )
    for one, other in zip(zero, top, strict=True):
        assert one["latency_s"] == pytest.approx(other["latency_s"], rel=1e-5)
        assert one["relevance"] == pytest.approx(other["relevance"], rel=1e-12)

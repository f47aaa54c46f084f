"""DES: exact against enumeration and HiGHS, small trees at today's sizes, independent of the batch it runs in."""

from __future__ import annotations

import numpy as np
import pytest
from dmoe_builders import generators
from dmoe_reference import least_selection_cost
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from dmoe_gym.dmoe import solve_des

# the tolerance that `solve_des` documents for "the threshold is met"
MET = 1e-9


@st.composite
def problems(draw, max_experts: int = 12):
    """A batch of hidden states: gate scores and energies from smooth to tied, experts out of reach, any D."""
    generator = draw(generators())
    experts, rows = draw(st.integers(1, max_experts)), draw(st.integers(1, 6))
    limit = draw(st.integers(1, experts))
    scores = generator.dirichlet(np.full(experts, draw(st.sampled_from([0.1, 0.5, 5.0]))), rows)
    energies = generator.exponential(size=(rows, experts))
    thresholds = generator.random(rows)
    match draw(st.sampled_from(["smooth", "coarse", "equal scores", "equal energies", "proportional"])):
        case "coarse":
            scores, energies = np.round(scores * 8) / 8, np.round(energies * 2) / 2
            thresholds = np.round(thresholds * 8) / 8
        case "equal scores":
            scores[:] = 1 / experts
        case "equal energies":
            energies[:] = 1
        case "proportional":
            energies = 3 * scores
    energies[generator.random(energies.shape) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = np.inf
    return scores, energies, thresholds, limit


def cost_of(scores, energies, selected, threshold, price):
    shortfall = max(0.0, threshold - scores[selected].sum())
    return energies[selected].sum() + (0.0 if np.isinf(price) or shortfall <= MET else price * shortfall)


@settings(max_examples=200)
@given(problems())
def test_hard_threshold_equals_enumeration(problem):
    scores, energies, thresholds, limit = problem
    chosen = solve_des(scores, energies, thresholds, limit)
    for row in range(len(scores)):
        in_reach = np.isfinite(energies[row])
        if not in_reach.any():
            assert not chosen[row].any()
            continue
        assert 1 <= chosen[row].sum() <= limit
        assert not (chosen[row] & ~in_reach).any()
        attainable = np.sort(scores[row, in_reach])[-limit:].sum()
        relevance, energy = scores[row, chosen[row]].sum(), energies[row, chosen[row]].sum()
        assert relevance >= min(thresholds[row], attainable) - 1.01 * MET
        # sets that miss the threshold by less than the tolerance may or may not be taken
        case = (scores[row], energies[row], thresholds[row], limit, np.inf)
        rounding = 1e-11 * (1 + energy)
        assert energy <= least_selection_cost(*case, tolerance=1e-13) + rounding
        assert energy >= least_selection_cost(*case, tolerance=2 * MET) - rounding


@settings(max_examples=200)
@given(problems(), st.sampled_from([0.0, 0.1, 1.0, 10.0, 1000.0]))
def test_priced_shortfall_equals_enumeration(problem, price):
    scores, energies, thresholds, limit = problem
    chosen = solve_des(scores, energies, thresholds, limit, shortfall_price=price)
    for row in range(len(scores)):
        best = least_selection_cost(scores[row], energies[row], thresholds[row], limit, price)
        if np.isinf(best):
            assert not chosen[row].any()
            continue
        assert 1 <= chosen[row].sum() <= limit
        found = cost_of(scores[row], energies[row], chosen[row], thresholds[row], price)
        assert found == pytest.approx(best, rel=1e-11, abs=1e-11 + 2 * MET * price)


def scenario_like(experts: int, rows: int, generator: np.random.Generator, share: float):
    """Gate scores, energies and thresholds as the environments have them; thresholds at a share of the attainable."""
    scores = generator.dirichlet(np.full(experts, 0.5), rows)
    air = 1 / np.log2(1 + 10 * generator.exponential(size=(rows, experts)))
    energies = air / air.mean() + np.linspace(0.5, 1.5, experts)
    return scores, energies, share * np.sort(scores, axis=-1)[:, -8:].sum(-1)


def highs_cost(scores, energies, threshold, limit):
    """The least energy of one hidden state as a mixed-integer program; scores scaled up against HiGHS's tolerance."""
    rows = np.vstack([1e3 * scores, np.ones(len(scores))])
    constraint = LinearConstraint(rows, [1e3 * threshold, 1], [np.inf, limit])
    ones = np.ones(len(scores))
    found = milp(energies, integrality=ones, bounds=Bounds(0, 1), constraints=constraint, options={"mip_rel_gap": 1e-9})
    assert found.status == 0
    return found.fun


@pytest.mark.parametrize("experts", [64, 256])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_equals_highs_at_sizes_of_today(experts, share):
    scores, energies, thresholds = scenario_like(experts, 6, np.random.default_rng(experts), share)
    chosen = solve_des(scores, energies, thresholds, 8)
    for row in range(len(scores)):
        assert scores[row, chosen[row]].sum() >= thresholds[row] - MET
        best = highs_cost(scores[row], energies[row], thresholds[row], 8)
        assert energies[row, chosen[row]].sum() == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("experts", [64, 256])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("price", [np.inf, 200.0])
def test_search_trees_stay_small_at_sizes_of_today(experts, share, price):
    """The relaxation that keeps D must prune: at most 500 nodes on average, where a ratio bound visits 75,000.

    500 is twice what issue 2 asks for at K = 64; the sets of at most 8 of 64 experts number 5 billion.
    """
    problem = scenario_like(experts, 400, np.random.default_rng(1), share)
    _, nodes = solve_des(*problem, 8, shortfall_price=price, return_nodes=True)
    assert nodes.shape == (400,)
    assert nodes.min() >= 1
    assert nodes.mean() < 500


@settings(max_examples=50)
@given(problems(), generators())
def test_rows_do_not_see_each_other(problem, generator):
    """Order and size of the batch change nothing, neither does the shape it comes in."""
    scores, energies, thresholds, limit = problem
    chosen, nodes = solve_des(scores, energies, thresholds, limit, return_nodes=True)
    order = generator.permutation(len(scores))
    again, nodes_again = solve_des(scores[order], energies[order], thresholds[order], limit, return_nodes=True)
    np.testing.assert_array_equal(again, chosen[order])
    np.testing.assert_array_equal(nodes_again, nodes[order])
    for row in range(len(scores)):
        alone = solve_des(scores[row], energies[row], thresholds[row], limit)
        assert alone.shape == scores[row].shape
        np.testing.assert_array_equal(alone, chosen[row])
    stacked = solve_des(scores[None, :, None], energies[None, :, None], thresholds[None, :, None], limit)
    np.testing.assert_array_equal(stacked[0, :, 0], chosen)


def test_a_batch_of_many_chunks_equals_its_rows():
    """1,000 rows are several parallel tasks."""
    scores, energies, thresholds = scenario_like(16, 1000, np.random.default_rng(2), 0.7)
    chosen = solve_des(scores, energies, thresholds, 8)
    for row in range(0, 1000, 83):
        np.testing.assert_array_equal(solve_des(scores[row], energies[row], thresholds[row], 8), chosen[row])
    assert solve_des(scores[:0], energies[:0], thresholds[:0], 8).shape == (0, 16)


@settings(max_examples=50)
@given(problems(max_experts=8), generators())
def test_relabelling_experts_changes_no_cost(problem, generator):
    scores, energies, thresholds, limit = problem
    order = generator.permutation(scores.shape[-1])
    for price in (np.inf, 5.0):
        chosen = solve_des(scores, energies, thresholds, limit, shortfall_price=price)
        moved = solve_des(scores[:, order], energies[:, order], thresholds, limit, shortfall_price=price)
        for row in np.flatnonzero(chosen.any(-1)):
            before = cost_of(scores[row], energies[row], chosen[row], thresholds[row], price)
            after = cost_of(scores[row][order], energies[row][order], moved[row], thresholds[row], price)
            assert after == pytest.approx(before, abs=1e-7)


@settings(max_examples=50)
@given(problems(), st.floats(0, 1), st.floats(0, 1))
def test_asking_for_more_never_costs_less(problem, one, other):
    scores, energies, _, limit = problem
    low, high = sorted((one, other))
    cheap, dear = (solve_des(scores, energies, threshold, limit) for threshold in (low, high))
    freer = solve_des(scores, energies, high, scores.shape[-1])
    for row in range(len(scores)):
        assert energies[row, cheap[row]].sum() <= energies[row, dear[row]].sum() + 1e-9
        if scores[row, dear[row]].sum() >= high:
            assert energies[row, freer[row]].sum() <= energies[row, dear[row]].sum() + 1e-9


def test_by_hand():
    scores, energies = [0.5, 0.3, 0.2], [3.0, 1.0, 0.5]
    for threshold, limit, experts in [
        (0.0, 3, [2]),  # C2 asks for one: the cheapest
        (0.25, 3, [1]),
        (0.5, 3, [1, 2]),
        (0.5, 1, [0]),
        (0.7, 2, [0, 2]),
        (1.0, 3, [0, 1, 2]),
        (1.0, 2, [0, 1]),  # 0.8 is all that two attain
    ]:
        assert np.flatnonzero(solve_des(scores, energies, threshold, limit)).tolist() == experts
    assert np.flatnonzero(solve_des(scores, [3.0, np.inf, 0.5], 0.8, 2)).tolist() == [0, 2]
    # curing 0.3 of shortfall costs 1: paid at 4 per unit, not at 3
    assert np.flatnonzero(solve_des(scores, energies, 0.5, 3, shortfall_price=4.0)).tolist() == [1, 2]
    assert np.flatnonzero(solve_des(scores, energies, 0.5, 3, shortfall_price=3.0)).tolist() == [2]


GOOD = {"gate_scores": [[0.6, 0.4]], "energies": [[1.0, 2.0]], "threshold": 0.5, "max_experts": 2}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("energies", [[1.0, 2.0, 3.0]], ["(1, 3)", "(1, 2)"]),
        ("gate_scores", [[0.6, np.nan]], ["[0, 1]", "nan"]),
        ("gate_scores", [[0.6, -0.4]], ["[0, 1]", "-0.4", "at least 0"]),
        ("energies", [[1.0, np.nan]], ["[0, 1]", "nan"]),
        ("energies", [[-1.0, 1.0]], ["[0, 0]", "-1.0", "infinity"]),
        ("threshold", 1.1, ["1.1", "0 to 1"]),
        ("threshold", [np.nan], ["nan"]),
        ("threshold", [0.5, 0.5], ["(2,)", "(1,)"]),
        ("max_experts", 0, ["0", "K = 2"]),
        ("max_experts", 3, ["3", "K = 2"]),
        ("max_experts", 1.0, ["1.0", "K = 2"]),
        ("max_experts", True, ["True", "K = 2"]),
        ("shortfall_price", -1.0, ["-1.0"]),
        ("shortfall_price", np.nan, ["nan"]),
    ],
)
def test_bad_input_is_refused(field, value, words):
    with pytest.raises(ValueError, match=field) as error:
        solve_des(**{**GOOD, field: value})
    for word in words:
        assert word in str(error.value)

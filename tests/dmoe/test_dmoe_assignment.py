"""Subcarriers for a fixed selection: the compiled assignment against SciPy's and against every allocation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from dmoe_builders import BY_HAND, configs, draw_round, generators, rounds, uniform_round
from dmoe_reference import allocations, expert_sets, link_energy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from dmoe_gym.dmoe import Schedule, allocate_subcarriers, energy
from dmoe_gym.dmoe.solvers.linear_assignment import assign_rows, two_least


@settings(max_examples=300)
@given(generators(), st.integers(1, 9), st.integers(0, 6), st.sampled_from(["smooth", "ties", "equal", "wide"]))
def test_kernel_equals_scipy(generator, rows, spare, kind):
    """Square and rectangular, with ties, with costs over six orders of magnitude."""
    columns = rows + spare
    cost = {
        "smooth": lambda: generator.random((rows, columns)),
        "ties": lambda: generator.integers(0, 3, (rows, columns)).astype(float),
        "equal": lambda: np.ones((rows, columns)),
        "wide": lambda: 10 ** generator.uniform(-3, 3, (rows, columns)),
    }[kind]()
    column_of_row, row_of_column = np.empty(rows, np.int64), np.empty(columns, np.int64)
    assign_rows(cost, rows, column_of_row, row_of_column)
    assert len(set(column_of_row)) == rows
    np.testing.assert_array_equal(row_of_column[column_of_row], np.arange(rows))
    assert (row_of_column == -1).sum() == spare
    best = cost[linear_sum_assignment(cost)].sum()
    assert cost[np.arange(rows), column_of_row].sum() == pytest.approx(best, rel=1e-9)


def random_selection(round, generator, share=0.4):
    """Selections that obey C2."""
    sets = expert_sets(round.config.num_experts, round.config.max_experts)
    choice = generator.integers(len(sets), size=round.gate_scores.shape[:2])
    return sets[choice] & (generator.random(round.gate_scores.shape) < 1 - share / 2)


def active_links(selected) -> list[tuple[int, int]]:
    nodes = range(len(selected))
    return [(i, j) for i, j in product(nodes, nodes) if i != j and selected[i, :, j].any()]


@st.composite
def mostly_dead_rounds(draw):
    """Most (link, subcarrier) pairs have no rate, so that some links must go without although subcarriers suffice."""
    config = draw(configs(experts=(3, 5), subcarriers=(6, 12))).replace(threshold=0.5)
    return draw_round(config, draw(generators()), dead=0.8)


@settings(max_examples=300)
@given(st.one_of(rounds(), mostly_dead_rounds()), generators())
def test_every_link_that_can_be_served_is_served_at_least_energy(round, generator):
    """Most links first, least energy then, where SciPy assigns; the lightest links go without where M is short."""
    selected = random_selection(round, generator)
    allocated = allocate_subcarriers(round, selected)
    assert allocated.shape == round.gains.shape
    assert (allocated.sum(-1) <= 1).all()
    assert (allocated.sum((0, 1)) <= 1).all()
    links = active_links(selected)
    assert {(i, j) for i, j, _ in np.argwhere(allocated)} <= set(links)
    if not links:
        return
    weight = np.array([round.gate_scores[i, selected[i, :, j], j].sum() for i, j in links])
    keep = np.argsort(-weight, kind="stable")[: round.config.num_subcarriers]
    if len(keep) < len(links) and np.isclose(np.sort(weight)[-len(keep)], np.sort(weight)[-len(keep) - 1]):
        return  # a tie decides who goes without
    joules = np.array(
        [
            [selected[i, :, j].sum() * link_energy(round, i, j, (m,)) for m in range(round.config.num_subcarriers)]
            for i, j in (links[link] for link in keep)
        ]
    )
    # dearer than everything real together, and small enough that rounding does not swamp the rest
    forbidden = 1 + 10 * len(links) * joules[np.isfinite(joules)].max(initial=0)
    padded = np.where(np.isfinite(joules), joules, forbidden)
    matched = joules[linear_sum_assignment(padded)]
    served = [(i, j) for i, j in links if allocated[i, j].any()]
    assert set(served) <= {links[link] for link in keep}
    assert len(served) == np.isfinite(matched).sum()
    spent = sum(
        selected[i, :, j].sum() * link_energy(round, i, j, tuple(np.flatnonzero(allocated[i, j]))) for i, j in served
    )
    assert spent == pytest.approx(matched[np.isfinite(matched)].sum(), rel=1e-9)


@given(rounds(configs(experts=(2, 3), states=(1, 2), subcarriers=(1, 4))), generators())
def test_one_subcarrier_per_link_is_optimal(round, generator):
    """No allocation, several subcarriers per link included, undercuts the assignment (where all links get one)."""
    selected = random_selection(round, generator)
    ours = energy(round, Schedule(selected, allocate_subcarriers(round, selected))).communication
    payload = selected.sum(1)
    links = active_links(selected)
    best = min(
        sum(payload[link] * link_energy(round, *link, held.get(link, ())) for link in links)
        for held in allocations(round.config, several=True)
    )
    assert ours == pytest.approx(best, rel=1e-9)


def test_more_subcarriers_for_one_link_never_help():
    """P0 |S| s / sum_S r >= P0 s / max_S r, with equality for equal rates."""
    generator = np.random.default_rng(3)
    for _ in range(50):
        round = draw_round(BY_HAND, generator)
        alone = min(link_energy(round, 0, 1, (m,)) for m in range(4))
        assert link_energy(round, 0, 1, (0, 1, 2, 3)) >= alone
    equal = uniform_round()
    assert link_energy(equal, 0, 1, (0, 1, 2, 3)) == pytest.approx(link_energy(equal, 0, 1, (2,)))


def test_the_link_with_more_payload_gets_the_better_subcarrier():
    gains = np.ones((3, 3, 4))
    gains[..., 0] = 3
    gains[..., 2:] = 0.5
    round = type(equal := uniform_round())(equal.gate_scores, gains, 0.5, BY_HAND)
    selected = np.zeros((3, 2, 3), bool)
    selected[0, :, 1] = True
    selected[1, 0, 2] = True
    allocated = allocate_subcarriers(round, selected)
    assert np.argwhere(allocated).tolist() == [[0, 1, 0], [1, 2, 1]]


def test_the_link_of_least_relevance_goes_without():
    config = BY_HAND.replace(num_subcarriers=1)
    scores = np.full((3, 2, 3), 1 / 3)
    scores[1, 0] = [0.1, 0.2, 0.7]
    round = type(uniform_round())(scores, np.ones((3, 3, 1)), 0.5, config)
    selected = np.zeros((3, 2, 3), bool)
    selected[0, 0, 1] = selected[1, 0, 2] = selected[2, 1, 0] = True
    assert np.argwhere(allocate_subcarriers(round, selected)).tolist() == [[1, 2, 0]]


def test_bad_selection_is_refused():
    with pytest.raises(ValueError, match=r"selected.*\(3, 1, 3\).*\(3, 2, 3\)"):
        allocate_subcarriers(uniform_round(), np.ones((3, 1, 3), bool))
    with pytest.raises(ValueError, match="selected"):
        allocate_subcarriers(uniform_round(), np.full((3, 2, 3), 0.5))


@given(generators(), st.integers(2, 70))
def test_the_two_least_reduced_costs_are_those_of_sorting(generator, columns):
    """With ties, infinite costs, and any number of columns."""
    cost = generator.choice([0.0, 0.25, 1.0, 1.5, 7.0, np.inf, *generator.random(9)], columns)
    price = -generator.choice([0.0, 0.25, 3.0, *generator.random(9)], columns)
    assert two_least(cost, price) == tuple(np.sort(cost - price)[:2])

"""Expected-cost JESA's parts: what they return is the expected cost of what they leave, by enumeration of outcomes."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from dmoe_gym.dmoe import DMoEConfig
from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.dmoe.solvers.expected_cost import expected_total, improve_node, reassign

CONFIG = DMoEConfig(num_experts=3, num_states=2, num_subcarriers=4, shortfall_price=20.0)
CONSTANTS = Constants.of(CONFIG)


def problem(seed: int):
    """Scores (K, N, K), targets (K, N), efficiency (K, K, M), success and energy (K, K, M, N): fewer deliver more."""
    generator = np.random.default_rng(seed)
    scores = generator.dirichlet(np.ones(3), (3, 2))
    efficiency = generator.exponential(size=(3, 3, 4))
    success = -np.sort(-generator.uniform(0.3, 1.0, (3, 3, 4, 2)))
    energy = np.cumsum(generator.exponential(size=(3, 3, 4, 2)), -1)
    return scores, np.full((3, 2), 0.6), efficiency, success, energy


def expected_cost(nodes, selected, subcarrier, scores, targets, success, energy) -> float:
    """Of these nodes, by every outcome of every link; infinite where a link with payload has no subcarrier."""
    total = 0.0
    for i in nodes:
        links = [j for j in range(3) if j != i and selected[i, :, j].any()]
        if any(subcarrier[i, j] < 0 for j in links):
            return np.inf
        at = {j: (i, j, subcarrier[i, j], selected[i, :, j].sum() - 1) for j in links}
        total += sum(energy[at[j]] for j in links)
        for outcome in product([False, True], repeat=len(links)):
            heard = {j for j, arrives in zip(links, outcome, strict=True) if arrives} | {i}
            chance = np.prod([success[at[j]] if j in heard else 1 - success[at[j]] for j in links])
            for n in range(2):
                served = [j for j in np.flatnonzero(selected[i, n]) if j in heard] or [i]
                shortfall = max(0.0, targets[i, n] - scores[i, n, served].sum())
                total += chance * (CONSTANTS.computation[served].sum() + CONSTANTS.shortfall_price * shortfall)
    return float(total)


def changes(row: np.ndarray):
    """A hidden state's experts with one added, dropped or exchanged: at least one, at most D."""
    for bits in product([False, True], repeat=3):
        other = np.array(bits)
        moved = other ^ row
        exchanged = moved.sum() == 2 and row.sum() == other.sum()
        if 1 <= other.sum() <= CONFIG.max_experts and (moved.sum() == 1 or exchanged):
            yield other


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("start", ["own", "other", "both"])
def test_a_node_is_improved_until_no_change_of_one_expert_lowers_its_expected_cost(seed, start):
    """All links hold subcarriers, so that every change is open; those that fall idle are freed."""
    scores, targets, efficiency, success, energy = problem(seed)
    selected = np.zeros((3, 2, 3), np.bool_)
    selected[:, :, 0] = start != "other"
    selected[:, :, 1] = start != "own"
    held = np.array([[-1, 0, 1], [-1, -1, -1], [-1, -1, -1]])
    subcarrier, taken = held.copy(), np.array([True, True, False, False])
    found = improve_node(
        0, scores[0], targets[0], efficiency, success, energy, CONSTANTS, selected[0], subcarrier, taken, np.empty(3)
    )
    given = scores, targets, success, energy
    assert found == pytest.approx(expected_cost([0], selected, subcarrier, *given))
    assert (selected[0].sum(-1) <= CONFIG.max_experts).all()
    assert taken.sum() == (subcarrier >= 0).sum()
    if start == "both":  # a link that has fallen idle has given up its subcarrier
        assert ((subcarrier[0, 1:] >= 0) >= selected[0, :, 1:].any(0)).all()
    for n in range(2):
        for other in changes(selected[0, n]):
            changed = selected.copy()
            changed[0, n] = other
            routes = np.where(subcarrier >= 0, subcarrier, held)
            for j in (1, 2):  # as a link that gets an expert takes the best free one
                if other[j] and subcarrier[0, j] < 0:
                    routes[0, j] = np.where(taken, -1, efficiency[0, j]).argmax()
            assert expected_cost([0], changed, routes, *given) >= found - 1e-8


@pytest.mark.parametrize("seed", range(4))
def test_active_links_get_the_subcarriers_of_least_expected_cost(seed):
    """One link of each node, so that what a loss costs is the same on every subcarrier: enumerated."""
    scores, targets, _, success, energy = problem(seed)
    selected = np.zeros((3, 2, 3), np.bool_)
    selected[[0, 1, 2], :, [1, 2, 0]] = True
    subcarrier = np.full((3, 3), -1)
    subcarrier[[0, 1, 2], [1, 2, 0]] = [0, 1, 2]
    given = scores, targets, success, energy
    best = np.inf
    for used in product(range(4), repeat=3):
        if len(set(used)) == 3:
            other = np.full((3, 3), -1)
            other[[0, 1, 2], [1, 2, 0]] = used
            best = min(best, expected_cost(range(3), selected, other, *given))
    reassign(scores, targets, success, energy, CONSTANTS, selected, subcarrier, np.empty(3))
    assert expected_cost(range(3), selected, subcarrier, *given) == pytest.approx(best)
    total = expected_total(scores, targets, success, energy, CONSTANTS, selected, subcarrier, np.empty(3))
    assert total == pytest.approx(best)

"""JESA under prices of relevance and of nodes' energy: what is taken from whom, budgets and batteries."""

from __future__ import annotations

import numpy as np
import pytest
from dmoe_builders import draw_round

from dmoe_gym.dmoe import DMoEConfig, Schedule, terms
from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.dmoe.solvers import priced

# as Python, so that no more is compiled than what they call
best_multiplier, best_node_priced, node_priced, node_use, outcome = (
    getattr(rule, "py_func", rule)
    for rule in (priced.best_multiplier, priced.best_node_priced, priced.node_priced, priced.node_use, priced.outcome)
)
CONFIG = DMoEConfig(num_experts=3, num_states=2, num_subcarriers=6, round_energy_j=1e-4)
CONSTANTS = Constants.of(CONFIG)


def drawn(seed: int):
    """A round, its gate scores and spectral efficiency, and room for its schedule."""
    round = draw_round(CONFIG, np.random.default_rng(seed))
    return (
        round,
        round.gate_scores.copy(),
        round.spectral_efficiency.copy(),
        np.zeros((3, 2, 3), np.bool_),
        np.zeros((3, 3), np.int64),
    )


def of(round, selected, subcarrier):
    """Relevance and energy [J] of a schedule, by the physics."""
    found = terms(round, Schedule.from_subcarriers(selected, subcarrier, CONFIG.num_subcarriers))
    return found.relevance, found.energy.total


@pytest.mark.parametrize("seed", range(3))
def test_what_nodes_use_is_what_the_round_takes(seed):
    """With an empty purse for relevance and a full one; the sum over nodes is the energy of the physics."""
    round, scores, rates, selected, subcarrier = drawn(seed)
    for price in (0.0, 50.0):
        node_priced(scores, rates, 1.0, price, CONSTANTS, np.ones(3), np.full(3, np.inf), selected, subcarrier)
        (mean, joules), use = of(round, selected, subcarrier), np.empty(3)
        node_use(rates, CONSTANTS, selected, subcarrier, use)
        assert use.sum() * CONFIG.energy_unit_j == pytest.approx(joules)
        relevance, energy = outcome(scores, rates, CONSTANTS, selected, subcarrier)
        assert relevance == pytest.approx(mean)
        assert energy == pytest.approx(joules / CONFIG.reference_energy_j)


def test_an_overdrawn_nodes_price_rises_until_its_battery_lasts():
    """Everybody's best expert is node 1, whose battery is good for two hidden states and the round's energy."""
    _, _, rates, selected, subcarrier = drawn(0)
    scores = np.tile([0.2, 0.6, 0.2], (3, 2, 1))
    seen = scores, rates, 1.0, 50.0, CONSTANTS, np.ones(3)
    node_priced(*seen, np.full(3, np.inf), selected, subcarrier)
    assert selected[:, :, 1].sum() == 6
    battery = np.array([np.inf, 2.1 * CONSTANTS.computation[1] + CONSTANTS.round_energy / 3, np.inf])
    node_priced(*seen, battery, selected, subcarrier)
    use = np.empty(3)
    node_use(rates, CONSTANTS, selected, subcarrier, use)
    assert use[1] <= battery[1]
    assert 0 < selected[:, :, 1].sum() <= 2
    # an empty node is asked by nobody and asks nobody
    battery[1] = 0
    with np.errstate(divide="ignore", invalid="ignore"):  # without a compiler: links of no rate
        node_priced(*seen, battery, selected, subcarrier)
    assert not selected[[0, 2], :, 1].any()
    assert not selected[1][:, [0, 2]].any()


@pytest.mark.parametrize("by_node", [False, True])
@pytest.mark.parametrize("owed", [0.0, 0.5, 1.0])
def test_of_all_multipliers_the_one_of_least_cost_is_taken(by_node, owed):
    """Least energy and priced relevance still owed; what is beyond the debt is worth nothing."""
    round, scores, rates, selected, subcarrier = drawn(4)
    multipliers = np.array([0.0, 1.0, 3.0, 10.0, 100.0])
    nodes = (np.ones(3), np.full(3, np.inf))

    def cost() -> float:
        relevance, joules = of(round, selected, subcarrier)
        return joules / CONFIG.reference_energy_j + CONFIG.shortfall_price * max(0.0, owed - relevance)

    costs = []
    for multiplier in multipliers:
        node_priced(scores, rates, 1.0, multiplier, CONSTANTS, *nodes, selected, subcarrier)
        costs.append(cost())
    assert len(set(np.round(costs, 9))) > 1
    if by_node:
        best_node_priced(scores, rates, CONSTANTS, *nodes, owed, multipliers, selected, subcarrier)
    else:
        best_multiplier(scores, rates, CONSTANTS, owed, multipliers, selected, subcarrier)
    assert cost() == pytest.approx(min(costs))

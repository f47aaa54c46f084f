"""Bounds as theorems: each against enumeration, over prices, ties, D = K, round energies and several subcarriers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from dmoe_reference import expert_sets, link_energy, optimal_cost

from dmoe_gym.dmoe import DMoEConfig, Round, cost, lower_bound, solve_exact
from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.dmoe.solvers.clairvoyant import dual_value
from dmoe_gym.dmoe.solvers.expected_cost import reassign


def drawn(rng: np.random.Generator, config: DMoEConfig, *, tied: bool = False, **state) -> Round:
    experts, states, subcarriers = config.num_experts, config.num_states, config.num_subcarriers
    scores = rng.dirichlet(np.full(experts, 0.5), (experts, states))
    gains = rng.exponential(size=(experts, experts, subcarriers))
    if tied:
        scores[:], gains[:] = 1 / experts, 0.7
    return Round(scores, gains, config.threshold, config, **state)


@pytest.mark.parametrize(
    "options",
    [
        {"shortfall_price": 1.0},
        {"shortfall_price": 100.0, "round_energy_j": 1e-3},
        {"max_experts": 1, "num_states": 2},
        {"num_experts": 3, "max_experts": 3, "num_subcarriers": 3, "shortfall_price": 5.0},
        {"num_states": 2, "num_subcarriers": 3, "shortfall_price": 20.0},
    ],
)
def test_exact_is_the_optimum_and_the_lower_bound_is_below_it(options):
    """Below the optimum over several subcarriers per link too; and the round's energy is in all of them."""
    config = DMoEConfig(**{"num_experts": 2, "num_states": 1, "num_subcarriers": 2, "max_experts": 2, **options})
    rng = np.random.default_rng(0)
    for trial in range(4):
        round = drawn(rng, config, tied=trial == 0)
        best = optimal_cost(round)
        assert cost(round, solve_exact(round)) == pytest.approx(best, rel=1e-9)
        bound = lower_bound(round)
        assert bound <= optimal_cost(round, several=True) * (1 + 1e-12)
        best_subcarriers = [round.gains[i, j].argmax() for i, j in itertools.permutations(range(config.num_experts), 2)]
        if len(set(best_subcarriers)) == len(best_subcarriers):
            assert bound == pytest.approx(best, rel=1e-9)


def lagrangian(rounds: list[Round], relevance_price: float, node_prices: np.ndarray) -> float:
    """The Lagrangian's least value, as a mean cost per round, by enumeration of every hidden state's experts.

    minimise energy + V D shortfall + relevance_price (asked - relevance) + node_prices (use - battery), where a hidden
    state may go without any expert if its node's battery can fail.
    """
    config = rounds[0].config
    nodes, unit = range(config.num_experts), config.energy_unit_j
    sets = expert_sets(config.num_experts, config.max_experts)
    if config.battery_j is not None:
        sets = np.vstack([sets, np.zeros((1, config.num_experts), bool)])
    total = 0.0
    for round in rounds:
        for i in nodes:
            price = 1 + node_prices
            radio = np.array(
                [min(link_energy(round, i, j, (m,)) for m in range(config.num_subcarriers)) for j in nodes]
            )
            energies = (radio * price[i] + config.computation_energy_j * price) / unit
            for scores in round.gate_scores[i]:
                values = sets @ energies
                relevance = sets @ scores
                if config.relevance_budget is not None:
                    values += relevance_price * (config.relevance_budget - relevance)
                else:
                    target = min(round.threshold, np.sort(scores)[-config.max_experts :].sum())
                    values += config.shortfall_price * config.max_experts * np.maximum(0, target - relevance)
                total += values.min()
        if config.battery_j is None:
            total += config.num_experts * config.round_energy_j / unit
    if config.battery_j is not None:
        total -= float(node_prices @ np.full(config.num_experts, config.battery_j / unit))
    return total / (len(rounds) * config.num_experts * config.num_states * config.max_experts)


@pytest.mark.parametrize(
    ("limits", "relevance_price", "node_price"),
    [
        ({"relevance_budget": 0.7, "round_energy_j": 1e-3}, 3.0, 0.0),
        ({"relevance_budget": 0.7}, 0.0, 0.0),
        ({"battery_j": 2e-3, "round_energy_j": 1e-4}, 0.0, 2.0),
        ({"battery_j": 2e-3, "relevance_budget": 0.6, "shortfall_price": 20.0}, 4.0, 1.0),
        ({"battery_j": 2e-3, "max_experts": 3}, 0.0, 0.7),
    ],
)
def test_the_clairvoyant_bound_is_the_lagrangian_at_its_multipliers(limits, relevance_price, node_price):
    config = DMoEConfig(**{"num_experts": 3, "num_states": 2, "num_subcarriers": 4, "max_experts": 2, **limits})
    rng = np.random.default_rng(1)
    battery = None if config.battery_j is None else np.full(3, config.battery_j)
    for _ in range(4):
        rounds = [drawn(rng, config, battery=battery) for _ in range(3)]
        nodes = node_price * rng.uniform(0, 2, 3)
        assert dual_value(rounds, relevance_price, nodes) == pytest.approx(
            lagrangian(rounds, relevance_price, nodes), rel=1e-9
        )


def test_subcarriers_of_least_expected_cost_weigh_what_an_outage_loses():
    """One link per node: then the assignment is exact, and every permutation can be tried."""
    rng = np.random.default_rng(3)
    config = DMoEConfig(num_experts=3, num_states=1, num_subcarriers=4, max_experts=1, slot_duration_s=0.03)
    constants = Constants.of(config)
    selected = np.zeros((3, 1, 3), bool)
    for i in range(3):
        selected[i, 0, (i + 1) % 3] = True
    decided_by_loss = 0
    for _ in range(30):
        scores = rng.dirichlet(np.full(3, 0.5), (3, 1))
        targets = np.minimum(0.6, scores.max(-1))
        success = rng.uniform(0.3, 1.0, (3, 3, 4, 1))
        energy = rng.uniform(0.1, 3.0, (3, 3, 4, 1))
        choices = np.array(list(itertools.permutations(range(4), 3)))
        spent, lost = np.zeros(len(choices)), np.zeros(len(choices))
        for i in range(3):
            j = (i + 1) % 3
            own, other = (
                constants.computation[server]
                + constants.shortfall_price * max(0.0, targets[i, 0] - scores[i, 0, server])
                for server in (i, j)
            )
            chance = success[i, j, choices[:, i], 0]
            spent += energy[i, j, choices[:, i], 0]
            lost += chance * other + (1 - chance) * own
        best = (spent + lost).argmin()
        decided_by_loss += best != spent.argmin()
        subcarrier = np.full((3, 3), -1)
        for i in range(3):
            subcarrier[i, (i + 1) % 3] = i
        reassign(scores, targets, success, energy, constants, selected, subcarrier, np.empty(3))
        assert [subcarrier[i, (i + 1) % 3] for i in range(3)] == choices[best].tolist()
    assert decided_by_loss > 10

"""Schedulers of the regimes against enumeration, SciPy and the bounds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dmoe_gym.channel import outage_probability
from dmoe_gym.dmoe import SCENARIOS, DMoEConfig, Round, Schedule, check, cost, lower_bound, solve_exact, value_greedy
from dmoe_gym.dmoe.physics import Constants, terms
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.scenarios import HARDNESS
from dmoe_gym.dmoe.schedulers.episode import AdaptiveLagrangianJESA, BatteryJESA, LagrangianJESA
from dmoe_gym.dmoe.schedulers.uncertain import ExpectedCostJESA, PredictedJESA
from dmoe_gym.dmoe.solvers.clairvoyant import clairvoyant, dual_value
from dmoe_gym.dmoe.solvers.delivery import ChannelLaw, expect, outage_table, probability_below
from dmoe_gym.dmoe.solvers.expected_cost import expected_relevance_cost
from dmoe_gym.evaluation import evaluate, evaluate_bound, line_up_of

SCARCE = DMoEConfig(num_experts=4, num_states=2, num_subcarriers=3)


def random_round(rng: np.random.Generator, config: DMoEConfig) -> Round:
    experts, states, subcarriers = config.num_experts, config.num_states, config.num_subcarriers
    scores = rng.dirichlet(np.full(experts, 0.5), (experts, states))
    return Round(scores, rng.exponential(size=(experts, experts, subcarriers)), config.threshold, config)


@pytest.mark.parametrize("local_search", [False, True])
def test_value_greedy_is_feasible_and_near_the_optimum_where_subcarriers_are_scarce(local_search):
    rng = np.random.default_rng(0)
    found, best = [], []
    for _ in range(20):
        current = random_round(rng, SCARCE)
        schedule = value_greedy(current, local_search=local_search)
        assert check(current, schedule) == []
        found.append(cost(current, schedule))
        best.append(cost(current, solve_exact(current)))
        assert best[-1] <= found[-1] + 1e-9
    # 1 to 6 % were seen when the rule was chosen
    assert np.mean(found) <= 1.06 * np.mean(best)


def test_local_search_never_costs_more():
    rng = np.random.default_rng(1)
    for _ in range(50):
        current = random_round(rng, SCARCE)
        plain = cost(current, value_greedy(current, local_search=False))
        assert cost(current, value_greedy(current)) <= plain + 1e-12


def test_value_greedy_delivers_in_the_slot():
    rng = np.random.default_rng(2)
    config = SCARCE.replace(slot_duration_s=0.025)
    for _ in range(30):
        current = random_round(rng, config)
        assert terms(current, value_greedy(current)).outages == 0


def test_outage_table_is_scipys_distribution():
    rng = np.random.default_rng(3)
    table = outage_table()
    correlation, error, snr = 0.8, 0.1, 10.0
    observed = rng.exponential(size=2000) * 3
    target = rng.uniform(0, 7, 2000)
    exact = outage_probability(observed, target, snr=snr, correlation=correlation, error_variance=error)
    variance = 1 - correlation**2 * (1 - error)
    found = [
        probability_below(table, (2**t - 1) / snr, correlation**2 * o, variance)
        for o, t in zip(observed, target, strict=True)
    ]
    np.testing.assert_allclose(found, exact, atol=2e-3)
    # the distribution function rises with what is needed, and is a step where nothing is uncertain
    rising = [probability_below(table, x, 1.0, 0.3) for x in np.linspace(0, 6, 200)]
    assert (np.diff(rising) >= -1e-12).all()
    assert [probability_below(table, x, 1.0, 0.0) for x in (0.99, 1.01)] == [0.0, 1.0]


def test_expected_success_is_calibrated():
    """Over many draws, links deliver as often as their success probability says."""
    config = SCENARIOS["stale"]
    rng = np.random.default_rng(4)
    draws = 20_000
    rho, v = config.channel.lag_correlation(1), config.csi.error_variance
    h = (rng.standard_normal(draws) + 1j * rng.standard_normal(draws)) / np.sqrt(2)
    noise = (rng.standard_normal(draws) + 1j * rng.standard_normal(draws)) / np.sqrt(2) * np.sqrt(v / (1 - v))
    observed = np.abs((1 - v) * (h + noise)) ** 2
    fresh = (rng.standard_normal(draws) + 1j * rng.standard_normal(draws)) / np.sqrt(2)
    gains = np.abs(rho * h + np.sqrt(1 - rho**2) * fresh) ** 2
    efficiency = np.zeros((2, 2, draws))
    efficiency[0, 1] = np.log2(1 + config.mean_snr * observed)
    shape = (2, 2, draws, 2)
    predicted, success, energy = np.empty(shape[:3]), np.empty(shape), np.empty(shape)
    believed, law = np.ones(config.num_experts), (Constants.of(config), ChannelLaw.of(config, 1))
    expect(efficiency, *law, believed, believed, 2, predicted, success, energy)
    for payload in (1, 2):
        delivered = payload <= config.slot_states * np.log2(1 + config.mean_snr * gains)
        chance = success[0, 1, :, payload - 1]
        for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
            inside = (chance >= low) & (chance < high)
            if inside.sum() > 200:
                deviation = np.sqrt(0.25 / inside.sum())
                assert abs(delivered[inside].mean() - chance[inside].mean()) < 4 * deviation + 2e-3
    assert np.mean(predicted[0, 1]) > 0


def test_expected_relevance_cost_equals_enumeration_of_link_outcomes():
    rng = np.random.default_rng(5)
    config = DMoEConfig(num_experts=4, num_states=3, max_experts=3)
    constants = Constants.of(config)
    for _ in range(20):
        scores = rng.dirichlet(np.ones(4), 3)
        selected = rng.random((3, 4)) < 0.5
        selected[~selected.any(-1), 1] = True
        chance = rng.random(4)
        chance[0] = 1.0  # the node's own expert
        targets = rng.uniform(0.2, 0.8, 3)
        total = 0.0
        for works in itertools.product((False, True), repeat=3):
            alive = np.array([True, *works])
            probability = np.prod([c if up else 1 - c for c, up in zip(chance[1:], works, strict=True)])
            served = selected & alive
            served[~served.any(-1), 0] = True
            shortfall = np.maximum(0, targets - (scores * served).sum(-1))
            spent = (served * constants.computation).sum() + constants.shortfall_price * shortfall.sum()
            total += probability * spent
        found = expected_relevance_cost(0, scores, targets, selected, chance, constants)
        assert found == pytest.approx(total, rel=1e-9)


def test_with_full_trust_expected_cost_sees_what_is_there():
    """A static channel observed a round late is known: the expected-cost rule has no outage and is near the optimum."""
    limits = {
        "num_experts": 4,
        "num_states": 2,
        "num_subcarriers": 16,
        "num_layers": 4,
        "channel": {"kind": "gauss_markov", "doppler_hz": 0.0},
        "csi": {"delay_rounds": 1},
        "slot_duration_s": 0.03,
    }
    config = DMoEConfig(**limits)
    rows = evaluate(JointPolicy(ExpectedCostJESA(config)), "DMoE-JESA-v0", seeds=range(10), **limits)
    exact = evaluate_bound("exact", "DMoE-JESA-v0", seeds=range(10), **limits)
    assert sum(row["outages"] for row in rows) == 0
    assert np.mean([row["cost"] for row in rows]) <= 1.05 * np.mean([row["cost"] for row in exact])


def test_bad_parameters_are_refused():
    config = SCENARIOS["stale"]
    for build in (
        lambda: PredictedJESA(config, margin=0.0),
        lambda: ExpectedCostJESA(config, caution=-1.0),
        lambda: ExpectedCostJESA(config.replace(channel="rician")),
        lambda: LagrangianJESA(config, multiplier=-1.0),
        lambda: AdaptiveLagrangianJESA(config),
        lambda: BatteryJESA(config),
    ):
        with pytest.raises(ValueError, match="valid"):
            build()


def _tiny_episode(rng: np.random.Generator, **limits) -> list[Round]:
    config = DMoEConfig(num_experts=2, num_states=1, num_subcarriers=2, max_experts=2, num_layers=2, **limits)
    rounds = []
    for _ in range(2):
        scores = rng.dirichlet(np.ones(2), (2, 1))
        gains = rng.exponential(size=(2, 2, 2))
        threshold = config.threshold_of_layer(1)
        battery = None if config.battery_j is None else np.full(2, config.battery_j)
        rounds.append(Round(scores, gains, threshold, config, battery=battery))
    return rounds


def _all_schedules() -> list[Schedule]:
    sets = [(1, 0), (0, 1), (1, 1)]
    schedules = []
    for first, second in itertools.product(range(3), repeat=2):
        selected = np.array([[sets[first]], [sets[second]]], bool)
        for a, b in ((-1, -1), (0, -1), (1, -1), (-1, 0), (-1, 1), (0, 1), (1, 0)):
            if (a >= 0) == bool(selected[0, 0, 1]) and (b >= 0) == bool(selected[1, 0, 0]):
                schedules.append(Schedule.from_subcarriers(selected, np.array([[-1, a], [b, -1]]), 2))
    return schedules


def test_clairvoyant_is_below_every_sequence_of_schedules_under_a_budget():
    rng = np.random.default_rng(6)
    schedules = _all_schedules()
    gaps = []
    for _ in range(10):
        rounds = _tiny_episode(rng, relevance_budget=0.7)
        best = np.inf
        options = [[terms(current, schedule) for schedule in schedules] for current in rounds]
        price = rounds[0].config.shortfall_price
        for first, second in itertools.product(*options):
            missing = max(0.0, 2 * 0.7 - first.relevance - second.relevance)
            best = min(best, (first.cost + second.cost + price * missing) / 2)
        bound = clairvoyant(rounds)
        assert bound.cost <= best + 1e-9
        assert dual_value(rounds, bound.relevance_price, bound.node_prices) == pytest.approx(bound.cost)
        gaps.append(best / bound.cost - 1)
    # eight choices per episode leave a large duality gap, but not any
    assert np.median(gaps) < 0.5


def test_clairvoyant_is_below_every_sequence_of_schedules_with_batteries():
    rng = np.random.default_rng(7)
    schedules = _all_schedules()
    for _ in range(6):
        rounds = _tiny_episode(rng, battery_j=0.0006)
        unit = rounds[0].config.energy_unit_j
        best = np.inf
        for first in schedules:
            outcome = terms(rounds[0], first)
            left = _battery_after(rounds[0], first, unit)
            second_round = Round(rounds[1].gate_scores, rounds[1].gains, rounds[1].threshold, rounds[1].config, left)
            best = min(best, min(outcome.cost + terms(second_round, second).cost for second in schedules) / 2)
        bound = clairvoyant(rounds)
        assert bound.cost <= best + 1e-9
        assert bound.cost > 0
        assert dual_value(rounds, 0.0, bound.node_prices) == pytest.approx(bound.cost)


def _battery_after(current: Round, schedule: Schedule, unit: float) -> np.ndarray:
    """Batteries by the rule in words: who would use more than is left is emptied, the others pay for what they did."""
    config = current.config
    selected = schedule.selected[:, 0]
    link = np.zeros((2, 2))
    for i, j in ((0, 1), (1, 0)):
        if selected[i, j]:
            rate = current.rates[i, j][schedule.allocated[i, j]].sum()
            link[i, j] = config.transmit_power_w * config.state_size_bit / rate
    use = link.sum(1) + config.computation_energy_j * selected.sum(0)
    failed = use > current.battery
    received = selected & ~failed[:, None] & ~failed[None, :]
    paid = link.sum(1) + config.computation_energy_j * received.sum(0)
    return np.where(failed, 0.0, current.battery - paid)


def test_multipliers_outside_their_range_are_refused():
    rounds = _tiny_episode(np.random.default_rng(8), relevance_budget=0.7)
    with pytest.raises(ValueError, match="relevance_price"):
        dual_value(rounds, 1e9, np.zeros(2))
    with pytest.raises(ValueError, match="node_prices"):
        dual_value(rounds, 0.0, -np.ones(2))
    with pytest.raises(ValueError, match="relevance_owed"):
        lower_bound(Round(rounds[0].gate_scores, rounds[0].gains, 0.0, rounds[0].config, relevance_owed=0.1))


def test_a_budget_and_batteries_together_have_schedulers_that_heed_both():
    """Where batteries never run low the battery-aware rule is the adaptive one; where they do, it overdraws nobody."""
    limits = {"num_experts": 4, "num_states": 2, "num_subcarriers": 16, "num_layers": 8, "relevance_budget": 0.6}
    seeds = range(20)
    ample = DMoEConfig(**limits, battery_j=1.0)
    plain = evaluate(JointPolicy(AdaptiveLagrangianJESA(ample)), "DMoE-JESA-v0", seeds=seeds, **limits, battery_j=1.0)
    aware = evaluate(JointPolicy(BatteryJESA(ample, 0.0)), "DMoE-JESA-v0", seeds=seeds, **limits, battery_j=1.0)
    assert [row["cost"] for row in aware] == pytest.approx([row["cost"] for row in plain])
    tight = {**limits, "battery_j": 0.006}
    line_up = line_up_of("DMoE-JESA-v0", **tight)
    assert {"Lagrangian-adaptive", "JESA-guarded", "JESA-battery"} <= set(line_up.policies)
    costs = {
        name: np.mean([row["cost"] for row in evaluate(line_up.policies[name], line_up.env_id, seeds=seeds, **tight)])
        for name in ("Lagrangian-adaptive", "JESA-battery")
    }
    assert costs["JESA-battery"] < costs["Lagrangian-adaptive"]
    bound = np.mean([row["cost"] for row in evaluate_bound("clairvoyant", line_up.env_id, seeds=seeds, **tight)])
    assert bound <= costs["JESA-battery"]


def test_every_scenario_says_what_makes_it_hard():
    assert set(HARDNESS) == set(SCENARIOS)

"""The informed bound against enumeration, the plain bound and schedulers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dmoe_gym.dmoe import DMoEConfig, Round, lower_bound, scenario
from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.uncertain import ExpectedCostJESA
from dmoe_gym.dmoe.solvers.delivery import ChannelLaw, expect
from dmoe_gym.dmoe.solvers.expected_cost import node_expectation
from dmoe_gym.dmoe.solvers.informed import informed_about, informed_bound
from dmoe_gym.evaluation import evaluate, evaluate_bound, line_up_of

STALE = {
    "num_experts": 3,
    "num_states": 1,
    "num_subcarriers": 4,
    "max_experts": 2,
    "num_layers": 4,
    "channel": {"kind": "gauss_markov", "doppler_hz": 4.0, "round_duration_s": 0.04},
    "csi": {"delay_rounds": 1, "error_variance": 0.05},
    "slot_duration_s": 0.03,
}


def drawn(rng: np.random.Generator, config: DMoEConfig) -> Round:
    experts, states = config.num_experts, config.num_states
    scores = rng.dirichlet(np.full(experts, 0.5), (experts, states))
    return Round(scores, rng.exponential(size=(experts, experts, config.num_subcarriers)), config.threshold, config)


def least_expected_cost(observed: Round, passed: int) -> float:
    """By enumeration of every selection and every assignment of distinct subcarriers, N = 1."""
    config, constants = observed.config, Constants.of(observed.config)
    experts, subcarriers = config.num_experts, config.num_subcarriers
    predicted = np.empty((experts, experts, subcarriers))
    success, energy = np.empty((*predicted.shape, 1)), np.empty((*predicted.shape, 1))
    efficiency = np.log2(1 + config.mean_snr * observed.gains)
    everyone = np.ones(config.num_experts)
    expect(efficiency, constants, ChannelLaw.of(config, passed), everyone, everyone, 1, predicted, success, energy)
    best_sums = np.sort(observed.gate_scores, -1)[..., -config.max_experts :].sum(-1)
    targets = np.minimum(observed.threshold, best_sums)
    sets = [s for s in itertools.product((False, True), repeat=experts) if 1 <= sum(s) <= config.max_experts]
    chance = np.empty(experts)
    best = np.inf
    for choice in itertools.product(sets, repeat=experts):
        selected = np.array(choice)[:, None, :]
        links = [(i, j) for i in range(experts) for j in range(experts) if i != j and selected[i, 0, j]]
        for used in itertools.permutations(range(subcarriers), len(links)):
            subcarrier = np.full((experts, experts), -1)
            for link, m in zip(links, used, strict=True):
                subcarrier[link] = m
            total = sum(
                node_expectation(
                    i, observed.gate_scores[i], targets[i], selected[i], subcarrier, success, energy, constants, chance
                )
                for i in range(experts)
            )
            best = min(best, total)
    return (best + constants.round_energy) / (experts * config.max_experts)


def test_no_schedule_has_a_lower_expected_cost():
    rng = np.random.default_rng(0)
    config = DMoEConfig(**STALE)
    gaps = []
    for passed in (0, 1, 1):
        observed = drawn(rng, config)
        bound, best = informed_bound(observed, passed), least_expected_cost(observed, passed)
        assert bound <= best + 1e-9
        gaps.append(best / bound - 1)
    # four subcarriers for up to six links: collisions cost something, not everything
    assert min(gaps) < 0.3


def test_where_nothing_is_asked_every_hidden_state_is_computed_all_the_same():
    """Relevance is free, and no expert is cheaper than another: every node takes itself, which sends nothing."""
    config = DMoEConfig(**STALE, shortfall_price=0.0, computation_energy_range=(1.0, 1.0))
    observed = drawn(np.random.default_rng(3), config)
    alone = Constants.of(config).computation[0] / config.max_experts
    assert informed_bound(observed, 1) == pytest.approx(alone)


def test_what_is_known_for_sure_leaves_the_plain_bound():
    """A static channel, seen a round late, is known: nothing to expect but what will be."""
    rng = np.random.default_rng(1)
    config = DMoEConfig(
        **{**STALE, "channel": {"kind": "gauss_markov", "doppler_hz": 0.0}},
    ).replace(csi={"delay_rounds": 1})
    for _ in range(10):
        observed = drawn(rng, config)
        assert informed_bound(observed, 1) == pytest.approx(lower_bound(observed), rel=1e-9)


def test_it_lies_between_the_true_optimum_and_the_expected_cost_scheduler():
    seeds = range(60)
    scheduler = evaluate(JointPolicy(ExpectedCostJESA(DMoEConfig(**STALE))), "DMoE-JESA-v0", seeds=seeds, **STALE)
    informed = evaluate_bound("informed", "DMoE-JESA-v0", seeds=seeds, **STALE)
    exact = evaluate_bound("exact", "DMoE-JESA-v0", seeds=seeds, **STALE)
    spent = np.array([row["cost"] for row in scheduler])
    known = np.array([row["cost"] for row in informed])
    # the bound is on the mean: chance moves a mean of 60 episodes by this much
    slack = 3 * (spent - known).std() / np.sqrt(len(spent))
    assert known.mean() <= spent.mean() + slack
    assert known.mean() > np.mean([row["cost"] for row in exact])


def test_it_is_offered_where_it_holds():
    assert "informed" in line_up_of("DMoE-JESA-v0", "stale").bounds
    assert not informed_about(scenario("stale").replace(slot_duration_s=None))
    for name in ("small", "mobile", "budget", "battery", "selective"):
        assert "informed" not in line_up_of("DMoE-JESA-v0", name).bounds
        assert not informed_about(scenario(name))
    with pytest.raises(ValueError, match=r"channel = RayleighConfig.*independent"):
        informed_bound(drawn(np.random.default_rng(2), scenario("small")), 0)

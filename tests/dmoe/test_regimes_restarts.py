"""Restarts of expected-cost JESA's local search: valued by what is observed, they never harm and sometimes save."""

from __future__ import annotations

import numpy as np
import pytest

from dmoe_gym.dmoe import DMoEConfig, scenario
from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.dmoe.schedulers.uncertain import ExpectedCostJESA, ExpectedCostRestarts
from dmoe_gym.dmoe.solvers.expected_cost import expected_node_costs
from dmoe_gym.evaluation import line_up_of

ROUNDS = 24


@pytest.fixture(scope="module")
def config() -> DMoEConfig:
    return scenario("stale").replace(num_subcarriers=12)


@pytest.fixture(scope="module")
def observation(config) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    experts, states = config.num_experts, config.num_states
    gains = rng.exponential(size=(ROUNDS, experts, experts, config.num_subcarriers))
    efficiency = np.log2(1 + config.mean_snr * gains)
    efficiency[:, np.arange(experts), np.arange(experts)] = 0
    return {
        "gate_scores": rng.dirichlet(np.full(experts, 0.5), (ROUNDS, experts, states)).astype(np.float32),
        "spectral_efficiency": efficiency.astype(np.float32),
        "threshold": np.full((ROUNDS, 1), config.threshold, np.float32),
        "progress": np.full((ROUNDS, 1), 0.5, np.float32),
    }


def expected_costs(scheduler: ExpectedCostJESA, observation: dict[str, np.ndarray]) -> np.ndarray:
    """(B,) expected costs of a scheduler's plans."""
    config = scheduler.config
    selected, subcarrier = scheduler.schedule(observation)
    law = scheduler.laws[round(config.num_layers * 0.5) - 1]
    costs = np.empty((ROUNDS, config.num_experts))
    for row in range(ROUNDS):
        expected_node_costs(
            observation["gate_scores"][row].astype(float),
            observation["spectral_efficiency"][row].astype(float),
            float(observation["threshold"][row, 0]),
            Constants.of(config),
            law,
            np.full(config.num_experts, scheduler.caution),
            np.ones(config.num_experts),
            selected[row],
            subcarrier[row],
            costs[row],
        )
    return costs.sum(-1)


def test_more_restarts_never_cost_more(config, observation):
    plain = expected_costs(ExpectedCostJESA(config), observation)
    few, all_ = (expected_costs(ExpectedCostRestarts(config, tries=tries), observation) for tries in (4, 36))
    # the first four of both are the same ones
    assert (few <= plain + 1e-9).all()
    assert (all_ <= few + 1e-9).all()
    assert all_.sum() < few.sum() < plain.sum()


def test_plans_are_feasible_and_the_same_in_any_batch(config, observation):
    scheduler = ExpectedCostRestarts(config)
    selected, subcarrier = scheduler.schedule(observation)
    assert selected.any(-1).all()
    assert (selected.sum(-1) <= config.max_experts).all()
    for row in range(ROUNDS):
        used = subcarrier[row][subcarrier[row] >= 0]
        assert len(set(used)) == len(used)
        alone = scheduler.schedule({key: values[row : row + 1] for key, values in observation.items()})
        np.testing.assert_array_equal(alone[0][0], selected[row])
        np.testing.assert_array_equal(alone[1][0], subcarrier[row])


def test_it_stands_where_the_law_of_the_channel_is_known():
    assert "JESA-expected-restarts" in line_up_of("DMoE-JESA-v0", "stale").policies
    assert "JESA-expected-restarts" not in line_up_of("DMoE-JESA-v0", "small").policies
    with pytest.raises(ValueError, match="tries = 0"):
        ExpectedCostRestarts(scenario("stale"), tries=0)

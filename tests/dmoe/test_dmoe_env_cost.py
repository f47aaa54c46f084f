"""What environments charge is the cost of the schedule they carried out, for random actions in every id."""

from __future__ import annotations

import numpy as np
import pytest
from dmoe_builders import DES, ENV_IDS, JOINT, PRICE, RESIDUAL, SCENARIOS, SEQUENTIAL, TINY_SCARCE, make
from dmoe_reference import attainable_threshold, link_energy

from dmoe_gym.dmoe import Schedule, check, cost, terms

CASES = {**SCENARIOS, "tiny scarce": {"scenario": "scarce", **TINY_SCARCE, "round_energy_j": 1e-3}}
TERMS = ("energy_communication_J", "energy_computation_J", "relevance", "shortfall", "cost")


def values(round, schedule) -> dict[str, float]:
    """The terms of `physics.terms` under the names of `info`."""
    found = terms(round, schedule)
    return {
        "energy_communication_J": found.energy.communication,
        "energy_computation_J": found.energy.computation,
        "relevance": found.relevance,
        "shortfall": found.shortfall,
        "cost": found.cost,
    }


def assert_terms(info, expected, rel=1e-9) -> None:
    for name in TERMS:
        assert info[name] == pytest.approx(expected[name], rel=rel, abs=1e-9), name


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("env_id", [JOINT, PRICE])
def test_ids_that_decide_rounds_charge_the_cost_of_a_feasible_schedule(env_id, case):
    env = make(env_id, **CASES[case])
    env.action_space.seed(1)
    env.reset(seed=1)
    for _ in range(30):
        round = env.round
        _, reward, terminated, _, info = env.step(env.action_space.sample())
        assert check(round, env.schedule) == []
        assert reward == pytest.approx(-cost(round, env.schedule), rel=1e-9)
        assert_terms(info, values(round, env.schedule))
        if terminated:
            env.reset()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("masked", [True, False])
def test_sequential_steps_of_a_round_sum_to_its_cost(case, masked):
    """With unmasked actions, and with any at all: those are repaired."""
    env = make(SEQUENTIAL, **{**CASES[case], "num_layers": 1})
    generator = np.random.default_rng(2)
    env.action_space.seed(2)
    for episode in range(5):
        env.reset(seed=2 if episode == 0 else None)
        round, sums, terminated, rewards = env.round, dict.fromkeys(TERMS, 0.0), False, 0.0
        while not terminated:
            action = generator.choice(np.flatnonzero(env.action_masks())) if masked else env.action_space.sample()
            _, reward, terminated, _, info = env.step(action)
            rewards += reward
            for name in TERMS:
                sums[name] += info[name]
        assert check(round, env.schedule) == []
        assert rewards == pytest.approx(-cost(round, env.schedule), rel=1e-9)
        assert_terms(sums, values(round, env.schedule))


def test_sequential_rounds_follow_each_other_through_an_episode():
    """All layers of `small`: the schedule is put together here from the observation and the last pick."""
    env = make(SEQUENTIAL, scenario="small")
    generator = np.random.default_rng(3)
    observation, _ = env.reset(seed=3)
    layers, rewards, terminated = 0, 0.0, False
    while not terminated:
        action = generator.choice(np.flatnonzero(env.action_masks()))
        round, before = env.round, observation
        observation, reward, terminated, _, info = env.step(action)
        rewards += reward
        assert info["repairs"] == 0
        if terminated or observation["progress"] != before["progress"]:
            selected, allocated = before["selected"] > 0, before["allocated"] > 0
            if action < 4 * 16:
                (i,), (j, m) = np.flatnonzero(before["turn"]), divmod(action, 16)
                selected[i, 0, j] = True
                allocated[i, j, m] = i != j
            assert rewards == pytest.approx(-cost(round, Schedule(selected, allocated)), rel=1e-9)
            rewards = 0.0
            layers += 1
    assert layers == 8


def des_cost(env, round) -> float:
    """The round's cost by DMoE-DES-v0's definition: every link over the subcarrier that the environment gave it.

    Those are JESA's provisional ones; where there are fewer subcarriers than links each link has its best one to
    itself, and the sum is the cost without exclusivity.
    """
    config = round.config
    experts, links = config.num_experts, config.num_experts * (config.num_experts - 1)
    schedule = env.schedule
    if config.num_subcarriers >= links:
        return cost(round, schedule)
    total = experts * config.round_energy_j
    shortfall = 0.0
    for i, n in np.ndindex(experts, config.num_states):
        for j in np.flatnonzero(schedule.selected[i, n]):
            total += link_energy(round, i, j, (int(round.gains[i, j].argmax()),)) + config.computation_energy_j[j]
        served = round.gate_scores[i, n, schedule.selected[i, n]].sum()
        shortfall += max(0.0, attainable_threshold(round, i, n) - served)
    return total / config.reference_energy_j + config.shortfall_price * shortfall / (experts * config.num_states)


@pytest.mark.parametrize("case", CASES)
def test_des_steps_of_a_round_sum_to_its_cost(case):
    """To the precision of the 32-bit energies that are seen and paid."""
    env = make(DES, **{**CASES[case], "num_layers": 1})
    env.action_space.seed(4)
    for episode in range(5):
        env.reset(seed=4 if episode == 0 else None)
        round, terminated, rewards = env.round, False, 0.0
        while not terminated:
            _, reward, terminated, _, _ = env.step(env.action_space.sample())
            rewards += reward
        assert (env.schedule.selected.sum(-1) >= 1).all()
        assert (env.schedule.selected.sum(-1) <= round.config.max_experts).all()
        assert -rewards == pytest.approx(des_cost(env, round), rel=1e-6)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("env_id", ENV_IDS)
def test_every_step_splits_its_cost_into_named_terms(env_id, case):
    """cost = E / E_ref + V * shortfall, and the reward is minus that, step by step."""
    env = make(env_id, **CASES[case])
    config = env.config
    env.action_space.seed(5)
    env.reset(seed=5)
    for _ in range(40):
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        joules = info["energy_communication_J"] + info["energy_computation_J"]
        expected = joules / config.reference_energy_j + config.shortfall_price * info["shortfall"]
        assert info["cost"] == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert reward == -info["cost"]
        assert info["repairs"] >= 0
        assert not truncated
        if terminated:
            env.reset()


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_an_episode_has_l_rounds(env_id):
    """L steps where one step is a round; K N L where it is a hidden state; and at least that where it is a pick."""
    env = make(env_id, scenario="small", num_layers=3, num_states=2)
    env.action_space.seed(6)
    env.reset(seed=6)
    steps, terminated = 0, False
    while not terminated:
        _, _, terminated, _, _ = env.step(env.action_space.sample())
        steps += 1
    assert {
        **dict.fromkeys((JOINT, PRICE, RESIDUAL, "DMoE-Nodes-v0", "DMoE-Nodes-Residual-v0"), steps == 3),
        DES: steps == 24,
        SEQUENTIAL: 24 <= steps <= 48,
    }[env_id]
    with pytest.raises(RuntimeError, match="reset"):
        env.step(env.action_space.sample())

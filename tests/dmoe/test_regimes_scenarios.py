"""The published scenarios: facades agree, nothing beats their bounds, their episodes stay what they are."""

from __future__ import annotations

from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest

import dmoe_gym  # noqa: F401  registers the environments
from dmoe_gym.dmoe.schedulers.tuned import TUNABLE, refined, shipped
from dmoe_gym.evaluation import by_policy, evaluate_bound, evaluate_line_up, held_out_seeds, line_up_of
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from experiments.shipped import ENV_ID, episode_digest, shipped_optima, tunable_in, tune

REGIMES = ("scarce", "stale", "selective", "budget", "battery", "mobile")
# compiled for minutes the first time, and no match for the others anyway
QUICK = ("random", "top-2", "JESA", "JESA-predicted", "Lagrangian-adaptive", "JESA-battery")


@pytest.mark.parametrize("scenario", REGIMES)
def test_facades_and_repetitions_agree(scenario):
    batch = BatchedVecEnv(ENV_ID, 2, scenario=scenario)
    vector = gym.make_vec(ENV_ID, 2, vectorization_mode="vector_entry_point", scenario=scenario)
    batch.seed(11)
    seen, (twin, _) = batch.reset(), vector.reset(seed=11)
    single = gym.make(ENV_ID, scenario=scenario)
    alone, _ = single.reset(seed=11, options={"environment_index": 1})
    single.action_space.seed(5)
    for _ in range(single.unwrapped.config.num_layers - 1):
        for key in seen:
            np.testing.assert_array_equal(seen[key], twin[key])
            np.testing.assert_array_equal(seen[key][1], alone[key])
            assert single.observation_space[key].contains(alone[key])
        action = single.action_space.sample()
        seen, rewards, _, _ = batch.step(np.stack([action, action]))
        twin, twin_rewards, _, _, _ = vector.step(np.stack([action, action]))
        alone, reward, _, _, _ = single.step(action)
        assert reward == twin_rewards[1]
        assert np.float32(reward) == rewards[1]


def _undercut(scenario: str, episodes: int, names: list[str] | None) -> list[str]:
    """Policies that cost less than the fast bound in some episode."""
    seeds = held_out_seeds(episodes)
    line_up = line_up_of(ENV_ID, scenario)
    names = [name for name in line_up.policies if names is None or name in names]
    bound = "lower-bound" if "lower-bound" in line_up.bounds else line_up.optimum
    floor = np.array([row["cost"] for row in evaluate_bound(bound, ENV_ID, scenario=scenario, seeds=seeds)])
    groups = by_policy(evaluate_line_up(ENV_ID, scenario=scenario, seeds=seeds, names=names))
    assert set(groups) == set(names)
    assert all(row["violations"] == 0 for rows in groups.values() for row in rows)
    return [name for name, rows in groups.items() if (np.array([row["cost"] for row in rows]) < floor - 1e-9).any()]


@pytest.mark.parametrize("scenario", REGIMES)
def test_no_policy_beats_the_bound(scenario):
    assert _undercut(scenario, 4, list(QUICK)) == []


@pytest.mark.slow
@pytest.mark.parametrize("scenario", REGIMES)
def test_no_policy_beats_the_bound_in_a_thousand_episodes(scenario):
    assert _undercut(scenario, 1000, None) == []


@pytest.mark.parametrize("scenario", REGIMES)
def test_published_episodes_are_what_they_were(scenario):
    entry = shipped("optima")[scenario]
    assert episode_digest(scenario, entry["first_seed"]) == entry["first_digest"]
    rows = shipped_optima(scenario)
    assert [row["cost"] for row in rows] == entry["cost"]
    assert [row["seed"] for row in rows] == list(held_out_seeds(len(rows)))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", REGIMES)
def test_published_optima_can_be_computed_again(scenario):
    entry = shipped("optima")[scenario]
    rows = evaluate_bound(entry["bound"], ENV_ID, scenario=scenario, seeds=[entry["first_seed"]])
    assert rows[0]["cost"] == pytest.approx(entry["cost"][0], rel=1e-5)


def test_tuned_parameters_are_those_that_the_line_up_uses():
    found = shipped("tuned")
    for scenario, schedulers in found.items():
        assert set(schedulers) == set(tunable_in(scenario))
        policies = line_up_of(ENV_ID, scenario).policies
        for name, result in schedulers.items():
            for parameter, value in result["parameters"].items():
                assert getattr(policies[name].scheduler, parameter) == value


def test_tuning_takes_the_best_candidate_within_its_budget():
    result = tune("stale", "JESA-margin", budget=48)
    assert np.dot(result["episodes_per_candidate"], result["candidates"]) <= 48
    grid = TUNABLE["JESA-margin"][1]
    finer = {float(f"{np.sqrt(one * other):.3g}") for one, other in pairwise(grid["margin"])}
    assert result["parameters"]["margin"] in {*grid["margin"], *finer}
    with pytest.raises(ValueError, match="tunable"):
        tune("scarce", "JESA-margin")
    with pytest.raises(ValueError, match="budget"):
        tune("stale", "JESA-margin", budget=3)


def test_a_refined_grid_halves_the_way_to_both_neighbours():
    grid = {"power": [1.0, 4.0, 16.0], "gain": [0.0, 2.0, 8.0]}
    assert refined(grid, {"power": 4.0, "gain": 2.0}) == {"power": [1, 2, 4, 8, 16], "gain": [0, 1, 2, 4, 8]}
    assert refined(grid, {"power": 16.0, "gain": 0.0}) == {"power": [4, 8, 16], "gain": [0, 1, 2]}

"""The Gymnasium vector environment: its construction, and autoreset as Gymnasium's own vector environments do it."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from dmoe_builders import DES, JOINT, SEQUENTIAL
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from rollouts import ALL_IDS, assert_equal, draw_actions, short_episodes, steps_across_ends

from dmoe_gym.facades import BatchedVectorEnv, MaskedVectorEnv


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_make_vec_builds_the_batch_and_its_spaces(env_id):
    envs = gym.make_vec(env_id, num_envs=4, **short_episodes(env_id))
    single = gym.make(env_id, **short_episodes(env_id))
    assert isinstance(envs, VectorEnv)
    assert isinstance(envs, MaskedVectorEnv if env_id == SEQUENTIAL else BatchedVectorEnv)
    assert envs.num_envs == 4
    assert envs.single_observation_space == single.observation_space
    assert envs.single_action_space == single.action_space
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert (envs.config, envs.spec.id) == (single.unwrapped.config, env_id)
    observations, _ = envs.reset(seed=1)
    assert envs.observation_space.contains(observations)
    envs.action_space.seed(1)
    actions = envs.action_space.sample()
    observations, rewards, terminated, truncated, _ = envs.step(actions)
    assert envs.observation_space.contains(observations)
    assert (rewards.shape, rewards.dtype) == ((4,), np.float64)
    assert terminated.shape == truncated.shape == (4,)
    assert terminated.dtype == truncated.dtype == bool
    assert hasattr(envs, "action_masks") == (env_id == SEQUENTIAL)
    envs.close()


def assert_infos(ours: dict, theirs: dict) -> None:
    """What Gymnasium's batch reports, ours reports; what only ours has is marked as nobody's."""
    for key, value in theirs.items():
        if key.startswith("_"):
            np.testing.assert_array_equal(ours[key], value, err_msg=key)
        elif isinstance(value, dict):
            assert_infos(ours[key], value)
        elif key == "final_obs":
            for row in np.flatnonzero(theirs["_final_obs"]):
                assert_equal(ours[key][row], value[row])
        else:
            there = theirs[f"_{key}"]
            np.testing.assert_array_equal(ours[key][there], value[there], err_msg=key)
    for key in ours.keys() - theirs.keys():
        if key.startswith("_"):
            assert not ours[key].any(), key


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("env_id", ALL_IDS)
def test_autoreset_is_gymnasiums(env_id, mode):
    """Step for step what `SyncVectorEnv` makes of single environments: seeds, ends, resets and infos."""
    ours = gym.make_vec(env_id, num_envs=3, autoreset_mode=mode, **short_episodes(env_id))
    theirs = gym.make_vec(
        env_id, num_envs=3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **short_episodes(env_id)
    )
    assert isinstance(theirs, SyncVectorEnv)
    seeds = [3, 1, 2]
    (observations, infos), (expected, expected_infos) = ours.reset(seed=seeds), theirs.reset(seed=seeds)
    assert_equal(observations, dict(expected) if isinstance(expected, dict) else expected)
    assert_infos(infos, expected_infos)
    ends = 0
    for actions in draw_actions(ours.single_action_space, steps_across_ends(env_id), 3):
        step, expected_step = ours.step(actions), theirs.step(actions)
        for part, expected_part in zip(step[:4], expected_step[:4], strict=True):
            assert_equal(part, dict(expected_part) if isinstance(expected_part, dict) else expected_part)
        assert_infos(step[4], expected_step[4])
        ends += step[2].sum()
    assert ends >= 3


def test_steps_need_a_reset_first():
    envs = gym.make_vec(JOINT, num_envs=2)
    envs.action_space.seed(0)
    with pytest.raises(RuntimeError, match="reset"):
        envs.step(envs.action_space.sample())


def test_a_reset_without_seed_starts_the_next_episodes():
    envs = gym.make_vec(JOINT, num_envs=2)
    first = envs.reset(seed=4)[0]
    second = envs.reset()[0]
    assert not np.array_equal(first["gate_scores"], second["gate_scores"])
    assert_equal(envs.reset(seed=4)[0], first)
    assert_equal(envs.reset()[0], second)


def test_a_list_of_seeds_may_leave_environments_to_go_on():
    envs = gym.make_vec(JOINT, num_envs=2)
    envs.reset(seed=[5, 6])
    second = envs.reset()[0]
    again = envs.reset(seed=[5, 6])[0]
    mixed = envs.reset(seed=[5, None])[0]
    np.testing.assert_array_equal(mixed["gate_scores"][0], again["gate_scores"][0])
    np.testing.assert_array_equal(mixed["gate_scores"][1], second["gate_scores"][1])


def test_disabled_autoreset_waits_for_the_reset_mask():
    envs = gym.make_vec(DES, num_envs=2, scenario="small", num_layers=1, autoreset_mode="Disabled")
    envs.reset(seed=[7, 7])
    actions = np.ones((2, 4), np.int8)
    # the second environment is reset after two of its four hidden states and so ends later
    for _ in range(2):
        envs.step(actions)
    envs.reset(options={"reset_mask": np.array([False, True])})
    for _ in range(2):
        observations, _, terminated, _, _ = envs.step(actions)
    assert terminated.tolist() == [True, False]
    with pytest.raises(RuntimeError, match="reset_mask"):
        envs.step(actions)
    before = observations["gate_scores"][1].copy()
    observations, _ = envs.reset(options={"reset_mask": np.array([True, False])})
    np.testing.assert_array_equal(observations["gate_scores"][1], before)
    assert envs.step(actions)[2].tolist() == [False, False]
    assert envs.step(actions)[2].tolist() == [False, True]


def test_observations_are_copies_unless_asked_otherwise():
    for copy in (True, False):
        envs = gym.make_vec(JOINT, num_envs=2, copy=copy)
        observations, _ = envs.reset(seed=8)
        before = observations["gate_scores"].copy()
        envs.step(np.zeros(envs.action_space.shape, int))
        assert np.array_equal(before, observations["gate_scores"]) == copy


def test_results_of_a_step_are_not_overwritten_by_the_next():
    envs = gym.make_vec(SEQUENTIAL, num_envs=2)
    _, info = envs.reset(seed=9)
    actions = np.argmax(info["action_mask"], axis=1)
    _, rewards, terminated, truncated, info = envs.step(actions)
    kept = [array.copy() for array in (rewards, terminated, truncated, *info.values())]
    envs.step(np.argmax(envs.action_masks(), axis=1))
    for array, before in zip((rewards, terminated, truncated, *info.values()), kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_gymnasiums_episode_statistics_work_on_it():
    envs = gym.wrappers.vector.RecordEpisodeStatistics(gym.make_vec(JOINT, num_envs=2, num_layers=3))
    envs.reset(seed=10)
    total = np.zeros(2)
    for actions in draw_actions(envs.single_action_space, 3, 2):
        _, rewards, terminated, _, infos = envs.step(actions)
        total += rewards
    assert terminated.all()
    np.testing.assert_allclose(infos["episode"]["r"], total)
    assert infos["episode"]["l"].tolist() == [3, 3]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scenario": "smal"}, ["scenario", "'smal'", "small"]),
        ({"num_layer": 3}, ["num_layer", "num_layers"]),
        ({"max_experts": 9}, ["max_experts", "9", "num_experts = 4"]),
        ({"render_mode": "human"}, ["render_mode", "human", "rgb_array"]),
        ({"autoreset_mode": "Sometimes"}, ["Sometimes"]),
        ({"num_envs": 0}, ["num_envs", "0", "at least 1"]),
        ({"num_envs": 2.0}, ["num_envs", "2.0", "whole"]),
    ],
)
def test_bad_construction_is_refused(options, words):
    with pytest.raises(ValueError) as error:
        gym.make_vec(JOINT, **{"num_envs": 2, **options})
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seed": [1, 2, 3]}, ["seed", "3", "2"]),
        ({"options": {"speed": 1}}, ["options", "speed", "reset_mask"]),
        ({"options": {"reset_mask": [True]}}, ["reset_mask", "(2,)"]),
        ({"options": {"reset_mask": np.ones(2)}}, ["reset_mask", "boolean"]),
    ],
)
def test_bad_resets_are_refused(arguments, words):
    envs = gym.make_vec(JOINT, num_envs=2)
    with pytest.raises(ValueError) as error:
        envs.reset(**arguments)
    for word in words:
        assert word in str(error.value)


def test_an_action_outside_the_space_names_environment_and_entry():
    envs = gym.make_vec(JOINT, num_envs=3)
    envs.reset(seed=11)
    actions = np.zeros(envs.action_space.shape, int)
    actions[2, 4] = 7
    with pytest.raises(ValueError, match=r"action\[2, 4\] = 7"):
        envs.step(actions)
    with pytest.raises(ValueError, match="action"):
        envs.step(actions[:2])

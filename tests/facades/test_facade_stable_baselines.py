"""The Stable-Baselines3 `VecEnv`: the contract that its algorithms, wrappers and evaluation rely on."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from dmoe_builders import DES, JOINT, PRICE, SEQUENTIAL, make
from rollouts import ALL_IDS, assert_equal, draw_actions, short_episodes
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecCheckNan, VecEnv, VecNormalize

from dmoe_gym.facades.stable_baselines import BatchedVecEnv


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_it_is_a_vec_env(env_id):
    envs = BatchedVecEnv(env_id, 3, **short_episodes(env_id))
    assert isinstance(envs, VecEnv)
    assert envs.num_envs == 3
    assert envs.observation_space == make(env_id, **short_episodes(env_id)).observation_space
    with pytest.raises(RuntimeError, match="reset"):
        envs.step(draw_actions(envs.action_space, 1, 3)[0])
    observations = envs.reset()
    parts = observations.values() if isinstance(observations, dict) else [observations]
    assert all(value.shape[0] == 3 and value.dtype == np.float32 for value in parts)
    observations, rewards, dones, infos = envs.step(draw_actions(envs.action_space, 1, 3)[0])
    assert (rewards.shape, rewards.dtype) == ((3,), np.float32)
    assert (dones.shape, dones.dtype) == ((3,), bool)
    assert len(infos) == len(envs.reset_infos) == 3
    assert envs.unwrapped is envs
    envs.close()


def test_masks_are_served_where_there_are_any():
    masked, plain = BatchedVecEnv(SEQUENTIAL, 2), BatchedVecEnv(JOINT, 2)
    masked.reset()
    assert is_masking_supported(masked)
    assert not is_masking_supported(plain)
    masks = get_action_masks(masked)
    assert masks.shape == (2, masked.action_space.n)
    assert masks.dtype == bool
    assert_equal(masked.env_method("action_masks", indices=[1])[0], masks[1])
    masked.env_method("action_masks")[0][:] = False
    assert_equal(get_action_masks(masked), masks)


def test_attributes_and_methods_of_the_environments_behind():
    envs = BatchedVecEnv(JOINT, 3, scenario="scarce")
    envs.seed(1)
    envs.reset()
    assert envs.get_attr("config", indices=[0, 2]) == 2 * [make(JOINT, scenario="scarce").config]
    assert envs.has_attr("config")
    assert not envs.has_attr("no_such_thing")
    single = make(JOINT, scenario="scarce")
    single.reset(seed=1, options={"environment_index": 2})
    (round,) = envs.env_method("round", indices=2)
    np.testing.assert_array_equal(round.gains, single.round.gains)
    assert envs.env_is_wrapped(Monitor) == [True] * 3
    assert envs.env_is_wrapped(VecNormalize, indices=0) == [False]
    with pytest.raises(NotImplementedError, match="num_layers"):
        envs.set_attr("num_layers", 3)
    with pytest.raises(AttributeError):
        envs.get_attr("no_such_thing")


def test_a_seed_holds_for_one_reset():
    envs = BatchedVecEnv(DES, 2)
    assert envs.seed(3) == [3, 3 + 2**128]
    first, second = envs.reset(), envs.reset()
    assert not np.array_equal(first["gate_scores"], second["gate_scores"])
    assert not np.array_equal(first["gate_scores"][0], first["gate_scores"][1])
    envs.seed(3)
    assert_equal(envs.reset(), first)
    assert_equal(envs.reset(), second)
    # without a number one is drawn, and told
    (seed, _) = envs.seed()
    drawn = envs.reset()
    envs.seed(seed)
    assert_equal(envs.reset(), drawn)


def test_episode_statistics_do_not_carry_over_a_reset():
    envs = BatchedVecEnv(JOINT, 1, num_layers=2)
    actions = draw_actions(envs.action_space, 3, 1)
    envs.reset()
    envs.step(actions[0])
    envs.reset()
    _, first_reward, _, _ = envs.step(actions[1])
    _, second_reward, dones, infos = envs.step(actions[2])
    assert dones[0]
    assert infos[0]["episode"]["l"] == 2
    assert infos[0]["episode"]["r"] == pytest.approx(float(first_reward[0] + second_reward[0]), rel=1e-6)


def test_sb3s_wrappers_and_evaluation_accept_it():
    envs = BatchedVecEnv(PRICE, 2, num_layers=3)
    checked = VecCheckNan(VecNormalize(envs), raise_exception=True)
    checked.reset()
    for actions in draw_actions(envs.action_space, 7, 2):
        checked.step(actions)
    model = PPO("MultiInputPolicy", envs, n_steps=4, batch_size=8, policy_kwargs={"net_arch": [4]}, seed=0)
    with warnings.catch_warnings():
        # SB3 warns where episodes are not recorded
        warnings.simplefilter("error")
        returns, lengths = evaluate_policy(model, envs, n_eval_episodes=4, return_episode_rewards=True)
    assert lengths == [3, 3, 3, 3]
    assert all(episode < 0 for episode in returns)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("CartPole-v1", 2), {}, ["env_id", "CartPole-v1"]),
        ((JOINT, 0), {}, ["num_envs", "0"]),
        ((JOINT, True), {}, ["num_envs", "True"]),
        ((JOINT, 2), {"scenario": "smal"}, ["scenario", "smal", "small"]),
        ((JOINT, 2), {"num_layer": 3}, ["num_layer", "num_layers"]),
    ],
)
def test_bad_construction_is_refused(arguments, options, words):
    with pytest.raises(ValueError) as error:
        BatchedVecEnv(*arguments, **options)
    for word in words:
        assert word in str(error.value)


def test_an_action_outside_the_space_is_refused():
    envs = BatchedVecEnv(SEQUENTIAL, 2)
    envs.reset()
    with pytest.raises(ValueError, match=r"action\[1\] = 65"):
        envs.step(np.array([0, envs.action_space.n]))

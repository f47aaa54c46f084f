"""One environment, a Gymnasium batch and a Stable-Baselines3 batch are the same episodes, bit for bit."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from dmoe_builders import DES, ENV_IDS, JOINT, PRICE, SEQUENTIAL, make
from gymnasium.vector import AutoresetMode
from rollouts import (
    ALL_IDS,
    Singles,
    assert_equal,
    digest,
    draw_actions,
    play,
    row_of,
    short_episodes,
    steps_across_ends,
)

from dmoe_gym.facades.stable_baselines import BatchedVecEnv


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_the_same_seed_and_actions_give_the_same_rollout(env_id):
    rollouts = []
    for _ in range(2):
        env = make(env_id, **short_episodes(env_id))
        first = env.reset(seed=5)
        rollouts.append([first, *play(env, draw_actions(env.action_space, steps_across_ends(env_id), 1)[:, 0])])
    for one, other in zip(*rollouts, strict=True):
        for part, counterpart in zip(one, other, strict=True):
            assert_equal(part, counterpart)


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_seeds_indices_and_episodes_all_differ(env_id):
    env = make(env_id)
    seen = {
        "seed 5": env.reset(seed=5),
        "seed 5, index 1": env.reset(seed=5, options={"environment_index": 1}),
        "its next episode": env.reset(),
        "seed 6": env.reset(seed=6),
    }
    firsts = [digest([observation]) for observation, _ in seen.values()]
    assert len(set(firsts)) == len(firsts)
    assert_equal(env.reset(seed=5, options={"environment_index": 0})[0], seen["seed 5"][0])


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_next_step_batch_equals_singles(env_id):
    envs = gym.make_vec(env_id, num_envs=3, **short_episodes(env_id))
    singles = Singles(env_id, 3, seed=7, **short_episodes(env_id))
    observations, _ = envs.reset(seed=7)
    ended = np.zeros(3, bool)
    ends = 0
    for actions in draw_actions(envs.single_action_space, steps_across_ends(env_id), 3):
        for row in range(3):
            assert_equal(row_of(observations, row), singles.observations[row])
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        for row in range(3):
            if ended[row]:
                singles.reset(row)
                assert (rewards[row], terminated[row]) == (0.0, False)
            else:
                assert (rewards[row], terminated[row]) == singles.step(row, actions[row])
                for name in envs.core.terms:
                    assert infos[name][row] == singles.infos[row][name]
            if "action_mask" in infos:
                assert_equal(infos["action_mask"][row], singles.infos[row]["action_mask"])
        assert not truncated.any()
        ended = terminated
        ends += terminated.sum()
    assert ends >= 3


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_same_step_batch_equals_singles(env_id):
    envs = gym.make_vec(env_id, num_envs=3, autoreset_mode=AutoresetMode.SAME_STEP, **short_episodes(env_id))
    singles = Singles(env_id, 3, seed=8, **short_episodes(env_id))
    observations, _ = envs.reset(seed=8)
    ends = 0
    for actions in draw_actions(envs.single_action_space, steps_across_ends(env_id), 3):
        for row in range(3):
            assert_equal(row_of(observations, row), singles.observations[row])
        observations, rewards, terminated, _, infos = envs.step(actions)
        for row in range(3):
            assert (rewards[row], terminated[row]) == singles.step(row, actions[row])
            terms = infos["final_info"] if terminated[row] else infos
            for name in envs.core.terms:
                assert terms[name][row] == singles.infos[row][name]
            if terminated[row]:
                assert_equal(infos["final_obs"][row], singles.observations[row])
                singles.reset(row)
                ends += 1
    assert ends >= 3


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_sb3_batch_equals_singles(env_id):
    envs = BatchedVecEnv(env_id, 3, **short_episodes(env_id))
    singles = Singles(env_id, 3, seed=9, **short_episodes(env_id))
    envs.seed(9)
    observations = envs.reset()
    returns, lengths = np.zeros(3), np.zeros(3, int)
    sums = [dict.fromkeys(envs.core.terms, 0.0) for _ in range(3)]
    rounds = envs.core.rounds_per_episode
    ends = 0
    for actions in draw_actions(envs.action_space, steps_across_ends(env_id), 3):
        for row in range(3):
            assert_equal(row_of(observations, row), singles.observations[row])
        if envs.has_attr("action_masks"):
            for row, mask in enumerate(envs.env_method("action_masks")):
                assert_equal(mask, singles.envs[row].action_masks())
        observations, rewards, dones, infos = envs.step(actions)
        for row in range(3):
            reward, terminated = singles.step(row, actions[row])
            assert rewards[row] == np.float32(reward)
            assert dones[row] == terminated
            returns[row] += reward
            lengths[row] += 1
            for name in sums[row]:
                sums[row][name] += singles.infos[row][name]
            if terminated:
                assert_equal(infos[row]["terminal_observation"], singles.observations[row])
                assert infos[row]["TimeLimit.truncated"] is False
                episode = dict(infos[row]["episode"])
                assert episode.pop("t") >= 0
                assert episode.pop("r") == pytest.approx(returns[row], rel=1e-12)
                assert episode.pop("l") == lengths[row]
                means = {name: value / rounds for name, value in sums[row].items()}
                assert episode == pytest.approx(means, rel=1e-12)
                returns[row], lengths[row], sums[row] = 0, 0, dict.fromkeys(sums[row], 0.0)
                singles.reset(row)
                ends += 1
            else:
                assert infos[row] == {}
    assert ends >= 3


# Batches from these sizes on run on the parallel versions of the compiled loops, which are compiled on their own.
THREADED = {JOINT: 32, PRICE: 32, SEQUENTIAL: 128, DES: 256}


@pytest.mark.parametrize(
    "env_id", [pytest.param(env_id, marks=() if env_id == JOINT else pytest.mark.slow) for env_id in THREADED]
)
def test_a_batch_on_threads_equals_singles(env_id):
    size = THREADED[env_id] + 3
    options = {"scenario": "scarce", "num_layers": 1}
    envs = gym.make_vec(env_id, num_envs=size, **options)
    observations, _ = envs.reset(seed=10)
    actions = draw_actions(envs.single_action_space, steps_across_ends(env_id) // 3, size)
    rollout = [envs.step(action) for action in actions]
    for row in (0, size // 2, size - 1):
        single = make(env_id, **options)
        observation, _ = single.reset(seed=10, options={"environment_index": row})
        assert_equal(row_of(observations, row), observation)
        ended = False
        for step, (batch, rewards, terminated, *_) in enumerate(rollout):
            if ended:
                observation, reward, ended = single.reset()[0], 0.0, False
            else:
                observation, reward, ended, *_ = single.step(actions[step, row])
            assert_equal(row_of(batch, row), observation)
            assert (rewards[row], terminated[row]) == (reward, ended)


# --- the episodes of an environment do not depend on what is done in them


def firsts_of_episodes(env, seed: int, leave_after: list[int | None], action_seed: int) -> list[str]:
    """First observations of successive episodes; each is left after some steps, None: played to its end."""
    env.action_space.seed(action_seed)
    firsts = [digest([env.reset(seed=seed)])]
    for steps in leave_after:
        count, terminated = 0, False
        while not terminated and count != steps:
            _, _, terminated, _, _ = env.step(env.action_space.sample())
            count += 1
        firsts.append(digest([env.reset()]))
    return firsts


@pytest.mark.parametrize("channel", ["rayleigh", "gauss_markov"])
@pytest.mark.parametrize("env_id", ALL_IDS)
def test_episode_k_depends_on_seed_and_k_alone(env_id, channel):
    """Not on the actions, not on whether and when earlier episodes were left."""
    env = make(env_id, channel=channel, **short_episodes(env_id, 3))
    complete = firsts_of_episodes(env, 13, [None, None, None, None], action_seed=1)
    assert len(set(complete)) == 5
    assert firsts_of_episodes(env, 13, [None, None, None, None], action_seed=2) == complete
    assert firsts_of_episodes(env, 13, [0, 1, 2, 5], action_seed=3) == complete
    assert firsts_of_episodes(env, 13, [7, 0, None, 1], action_seed=4) == complete


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_rounds_of_an_episode_do_not_depend_on_the_actions(env_id):
    """Gate scores and gains of every round, under two action sequences."""
    seen = []
    for action_seed in (1, 2):
        env = make(env_id, scenario="scarce", num_layers=4, channel="gauss_markov")
        env.action_space.seed(action_seed)
        env.reset(seed=14)
        rounds = [env.round]
        terminated = False
        while not terminated:
            _, _, terminated, _, _ = env.step(env.action_space.sample())
            if not np.array_equal(env.round.gains, rounds[-1].gains):
                rounds.append(env.round)
        seen.append(rounds)
    assert [len(rounds) for rounds in seen] == [4, 4]
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one.gate_scores, other.gate_scores)
        np.testing.assert_array_equal(one.gains, other.gains)


def test_all_dmoe_ids_share_their_rounds():
    """The same seed is the same channel and the same gate scores in every id."""
    envs = [make(env_id, scenario="scarce") for env_id in ENV_IDS]
    for env in envs:
        env.reset(seed=15)
    for env in envs[1:]:
        np.testing.assert_array_equal(env.round.gate_scores, envs[0].round.gate_scores)
        np.testing.assert_array_equal(env.round.gains, envs[0].round.gains)

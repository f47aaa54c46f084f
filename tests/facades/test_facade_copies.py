"""Copies of environments go on as the original does: pickle, cloudpickle, deep copies, processes, threads."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from dmoe_builders import DES, INFERENCE, JOINT, PRICE, SEQUENTIAL
from rollouts import ALL_IDS, assert_equal, batch_digest, draw_actions, episode_digest, play, short_episodes

from dmoe_gym.facades.stable_baselines import BatchedVecEnv


def into_the_episode(env_id: str) -> int:
    """Steps into the second round, in the middle of a hidden state where there is one."""
    return {DES: 17, SEQUENTIAL: 20}.get(env_id, 1)


def beyond_its_end(env_id: str) -> int:
    """Further steps, across the end of an episode of three rounds."""
    return {DES: 40, SEQUENTIAL: 60}.get(env_id, 6)


COPIES = {
    "pickle": lambda env: pickle.loads(pickle.dumps(env)),
    "cloudpickle": lambda env: cloudpickle.loads(cloudpickle.dumps(env)),
    "deepcopy": deepcopy,
}


@pytest.mark.parametrize("channel", ["rayleigh", "gauss_markov"])
@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("env_id", ALL_IDS)
def test_a_copy_in_mid_episode_goes_on_identically(env_id, how, channel):
    """Observations, rewards, infos, and the next episode; and neither sees what the other does."""
    env = gym.make(env_id, channel=channel, **short_episodes(env_id, 3))
    env.reset(seed=1)
    actions = draw_actions(env.action_space, into_the_episode(env_id) + beyond_its_end(env_id), 1)[:, 0]
    before, after = np.split(actions, [into_the_episode(env_id)])
    list(play(env, before))
    copy = COPIES[how](env)
    original = list(play(env, after))
    copied = list(play(copy, after))
    assert any(len(step) == 2 for step in original)  # a reset took part
    for one, other in zip(original, copied, strict=True):
        for part, counterpart in zip(one, other, strict=True):
            assert_equal(part, counterpart)


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_batches_are_copied_in_mid_episode(env_id):
    envs, for_sb3 = (
        gym.make_vec(env_id, num_envs=3, **short_episodes(env_id, 3)),
        BatchedVecEnv(env_id, 3, **short_episodes(env_id, 3)),
    )
    envs.reset(seed=2)
    for_sb3.seed(2)
    for_sb3.reset()
    actions = draw_actions(envs.single_action_space, beyond_its_end(env_id), 3)
    before, after = np.split(actions, [into_the_episode(env_id)])
    for action in before:
        envs.step(action)
        for_sb3.step(action)
    copies = pickle.loads(pickle.dumps((envs, for_sb3)))
    for action in after:
        for one, other in zip(envs.step(action)[:4], copies[0].step(action)[:4], strict=True):
            assert_equal(one, other)
        (observations, rewards, dones, infos), copied = for_sb3.step(action), copies[1].step(action)
        for one, other in zip((observations, rewards, dones), copied, strict=False):
            assert_equal(one, other)
        for info, copied_info in zip(infos, copied[3], strict=True):
            assert info.keys() == copied_info.keys()
            if "episode" in info:
                # the time of day alone may differ
                assert {**info["episode"], "t": 0} == {**copied_info["episode"], "t": 0}


def _digests(queue) -> None:
    queue.put({env_id: episode_digest(env_id, **short_episodes(env_id, 3)) for env_id in ALL_IDS})


def test_a_spawned_process_sees_the_same_episodes():
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_digests, args=(queue,))
    process.start()
    found = queue.get(timeout=120)
    process.join(timeout=30)
    assert process.exitcode == 0
    assert found == {env_id: episode_digest(env_id, **short_episodes(env_id, 3)) for env_id in ALL_IDS}


THREADED = {JOINT: (64, 5), PRICE: (64, 5), SEQUENTIAL: (256, 20), DES: (512, 20), INFERENCE: (64, 7)}


@pytest.mark.parametrize(
    "env_id", [pytest.param(env_id, marks=() if env_id == JOINT else pytest.mark.slow) for env_id in THREADED]
)
def test_the_number_of_threads_changes_no_bit(env_id):
    """Numba fixes the most threads a process may use when it starts, hence processes."""
    size, steps = THREADED[env_id]
    scenario = "digits-scarce" if env_id == INFERENCE else "scarce"
    program = (
        "import numba, rollouts;"
        f"print(numba.get_num_threads(), rollouts.batch_digest({env_id!r}, {size}, {steps}, scenario={scenario!r}))"
    )
    found = {}
    for threads in ("1", "2"):
        environment = {
            **os.environ,
            "NUMBA_NUM_THREADS": threads,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), *sys.path]),
        }
        finished = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=300, check=True
        )
        used, found[threads] = finished.stdout.split()
        assert used == threads
    assert found["1"] == found["2"] == batch_digest(env_id, size, steps, scenario=scenario)

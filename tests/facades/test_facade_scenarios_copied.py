"""Copies and pickles in mid-episode, everywhere: ids x scenarios x facades go on with the same bits."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from dmoe_builders import DES, JOINT
from gymnasium.vector import AutoresetMode
from rollouts import ALL_IDS, assert_equal, draw_actions

import dmoe_gym
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from dmoe_gym.registration import system_of

# scenarios whose size alone makes them slow: they take the same paths as the others
SLOW = ("paper", "large", "mixtral", "crowd")
PLACES = [
    pytest.param(env_id, scenario, id=f"{env_id}-{scenario}", marks=pytest.mark.slow if scenario in SLOW else ())
    for env_id in ALL_IDS
    for scenario in system_of(env_id).scenarios
    if not (env_id == DES and system_of(env_id).configuration(scenario).is_limited)  # refused there
]


def _single(env_id: str, **options: Any) -> Any:
    env = gym.make(env_id, render_mode="ansi", **options)
    env.reset(seed=1)
    return env, lambda each, actions: (*each.step(actions[0]), each.render())


def _batch(mode: AutoresetMode) -> Any:
    def create(env_id: str, **options: Any) -> Any:
        envs = gym.make_vec(env_id, num_envs=2, autoreset_mode=mode, max_episode_steps=3, **options)
        envs.reset(seed=1)
        return envs, lambda each, actions: each.step(actions)[:4]

    return create


def _vec_env(env_id: str, **options: Any) -> Any:
    envs = BatchedVecEnv(env_id, 2, max_episode_steps=3, **options)
    envs.seed(1)
    envs.reset()
    return envs, lambda each, actions: each.step(actions)[:3]


FACADES = {
    "make": _single,
    "next step": _batch(AutoresetMode.NEXT_STEP),
    "same step": _batch(AutoresetMode.SAME_STEP),
    "VecEnv": _vec_env,
}
COPIES = {"deepcopy": deepcopy, "pickle": lambda env: pickle.loads(pickle.dumps(env))}


@pytest.mark.parametrize("facade", FACADES)
@pytest.mark.parametrize(("env_id", "scenario"), PLACES)
def test_copies_go_on_with_the_same_bits(env_id, scenario, facade):
    env, step = FACADES[facade](env_id, scenario=scenario)
    actions = draw_actions(getattr(env, "single_action_space", env.action_space), 6, 2)
    step(env, actions[0])
    copies = [copy(env) for copy in COPIES.values()]
    expected = [step(env, taken) for taken in actions[1:]]
    for copied in copies:
        for taken, result in zip(actions[1:], expected, strict=True):
            for one, other in zip(step(copied, taken), result, strict=True):
                if isinstance(one, str):
                    assert one == other
                else:
                    assert_equal(one, other)


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("collision", ["lost", "repair"])
@pytest.mark.parametrize("scenario", ["scarce", "stale", "battery"])
def test_copies_of_the_nodes_go_on_with_the_same_bits(scenario, collision, copy):
    pytest.importorskip("pettingzoo")
    env = dmoe_gym.parallel_env(JOINT, scenario=scenario, collision=collision, observe="neighbours")
    env.reset(seed=1)
    generator = np.random.default_rng(0)
    actions = [
        {agent: generator.integers(env.action_space(agent).nvec) for agent in env.possible_agents} for _ in range(4)
    ]
    env.step(actions[0])
    copied = COPIES[copy](env)
    for taken in actions[1:]:
        for one, other in zip(env.step(taken), copied.step(taken), strict=True):
            assert_equal(one, other)


def test_a_copy_of_an_environment_with_a_window_has_its_own(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pytest.importorskip("pygame")
    env = gym.make(JOINT, scenario="small", render_mode="human")
    env.reset(seed=1)
    for copy in COPIES.values():
        copied = copy(env)
        copied.step(copied.action_space.sample())
        copied.close()
    env.step(env.action_space.sample())
    env.close()

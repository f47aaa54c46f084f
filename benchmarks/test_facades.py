"""The three facades over one core: single, vector, and the native Stable-Baselines3 one."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env

import dmoe_gym  # noqa: F401 - registers the environments
from benchmarks.environments import Stepper
from benchmarks.side_by_side import Row, faster
from dmoe_gym.facades.nodes import NodesVecEnv
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

ENV_ID = "DMoE-JESA-v0"


def single_steps(count: int):
    """`count` steps of one environment, resets included."""
    env = gym.make(ENV_ID, scenario="small")
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(16)]

    def run():
        for call in range(count):
            _, _, terminated, truncated, _ = env.step(actions[call % 16])
            if terminated or truncated:
                env.reset()

    return run


def test_vector_against_single(in_turns, report):
    stepper = Stepper(ENV_ID, "small", 1024)
    work, other_work = stepper.steps * 1024, 500
    mine, theirs = in_turns(stepper, single_steps(other_work), rounds=15)
    details = {"steps_per_s": work / min(mine.wall), "single_steps_per_s": other_work / min(theirs.wall)}
    times = faster(mine, theirs, work, other_work)
    report(Row(f"{ENV_ID} small, vector of 1024", "gym.make, one environment", *times, details=details))


def test_native_vec_env_against_dummy_vec_env(in_turns, report):
    """Turns of about a tenth of a second on both sides: shorter ones would time how threads and caches wake up."""
    count = 256

    def runner(env, steps):
        env.seed(0)
        env.reset()
        space = env.action_space
        space.seed(0)
        actions = [np.stack([space.sample() for _ in range(count)]) for _ in range(4)]

        def run():
            for call in range(steps):
                env.step(actions[call % 4])

        return run

    work, other_work = 200, 9
    native = runner(BatchedVecEnv(ENV_ID, count, scenario="small"), work)
    # SB3's own way to make one: every environment in a Monitor, which reports what the native one does; without
    # pictures, which SB3 would ask for and the native one does not keep unless told to
    dummy = runner(make_vec_env(ENV_ID, count, env_kwargs={"scenario": "small", "render_mode": None}), other_work)
    mine, theirs = in_turns(native, dummy, rounds=20)
    details = {
        "steps_per_s": work * count / min(mine.wall),
        "dummy_steps_per_s": other_work * count / min(theirs.wall),
    }
    name = f"{ENV_ID} small, native VecEnv of {count}"
    times = faster(mine, theirs, work, other_work)
    report(Row(name, f"SB3's DummyVecEnv of {count}", *times, aim=20, details=details))


@pytest.mark.parametrize("scenario", ["small", "scarce", "blockage"])
def test_nodes_as_rows_against_the_central_environment(in_turns, report, scenario):
    """Whole episodes of 256 environments under random actions, both through Stable-Baselines3's interface."""
    sides = []
    for kind, env_id in ((NodesVecEnv, "DMoE-Nodes-v0"), (BatchedVecEnv, ENV_ID)):
        env = kind(env_id, 256, scenario=scenario)
        env.seed(0)
        env.reset()
        env.action_space.seed(0)
        actions = np.stack([env.action_space.sample() for _ in range(env.num_envs)])

        def episode(env=env, actions=actions):
            for _ in range(env.config.num_layers):
                env.step(actions)

        sides.append(episode)
    mine, central = in_turns(*sides, rounds=12)
    report(
        Row(
            f"every node a row, {scenario}, 256 environments",
            "the central environment (1 = as long)",
            *faster(central, mine),
            aim=1.5,
            at_least=False,
        )
    )

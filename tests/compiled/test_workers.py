"""Forked workers and threads: what a process did before it was forked changes nothing in its children, and none hangs.

Each program runs in an interpreter of its own, prints "same" at its end, and is killed with all its workers when it
takes too long.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROLL = """
import multiprocessing as mp, threading
import gymnasium as gym, numpy as np
import dmoe_gym

def roll(env_id, seed, size=64, steps=3):
    envs = gym.make_vec(env_id, num_envs=size, vectorization_mode="vector_entry_point")
    envs.reset(seed=seed)
    envs.action_space.seed(seed)
    return [envs.step(envs.action_space.sample())[1].tolist() for _ in range(steps)]

def in_workers(function, arguments):
    with mp.get_context("fork").Pool(2) as pool:
        return pool.starmap(function, arguments)
"""

FORKED = {
    "compiled loops": """
tasks = [(env_id, seed) for env_id in ("DMoE-JESA-v0", "WDMoE-v0") for seed in (0, 1)]
here = [roll(*task) for task in tasks]
there = in_workers(roll, tasks)
""",
    "a solver": """
from dmoe_gym.dmoe import solve_des
def solve(seed):
    random = np.random.default_rng(seed)
    return solve_des(random.dirichlet(np.ones(8), 5000), random.random((5000, 8)), 0.5, 3).tolist()
here = [solve(0), solve(1)]
there = in_workers(solve, [(0,), (1,)])
""",
    "a function that the worker compiles, forked while the parent's other thread compiled": """
import time
import numba
from llvmlite import binding
from numba.core.compiler_lock import global_compiler_lock

def compiles():
    with global_compiler_lock, binding.ffi.lib._lock:  # what a thread holds that compiles
        started.set()
        time.sleep(1)

def compiled(number):
    return numba.njit(lambda: number + 1)()

started = threading.Event()
here = [compiled(0), compiled(1)]
threading.Thread(target=compiles).start()
started.wait()
there = in_workers(compiled, [(0,), (1,)])
""",
    "torch in the environment, used before": """
import torch
torch.rand(500, 500) @ torch.rand(500, 500)
here = [roll("ChannelAwareGating-v0", seed) for seed in (0, 1)]
there = in_workers(roll, [("ChannelAwareGating-v0", 0), ("ChannelAwareGating-v0", 1)])
""",
    "torch in the environment, where only the parent's own code used it": """
import torch
torch.rand(500, 500) @ torch.rand(500, 500)
there = in_workers(roll, [("ChannelAwareGating-v0", 0)])
here = [roll("ChannelAwareGating-v0", 0)]
""",
    "torch in the environment, imported by the worker": """
import sys
here = roll("DMoE-JESA-v0", 0)
def build(seed):
    result = roll("ChannelAwareGating-v0", seed)
    import torch
    torch.rand(500, 500) @ torch.rand(500, 500)
    return result
assert "torch" not in sys.modules
there = in_workers(build, [(0,), (1,)])
here = [build(0), build(1)]
""",
    "AsyncVectorEnv": """
def play(mode):
    envs = gym.make_vec("DMoE-JESA-v0", num_envs=2, vectorization_mode=mode)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    rewards = [envs.step(envs.action_space.sample())[1].tolist() for _ in range(3)]
    envs.close()
    return rewards
roll("DMoE-JESA-v0", 0)
here, there = play("sync"), play("async")
""",
    "SubprocVecEnv": """
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv
def play(facade, **options):
    envs = facade([lambda: gym.make("ChannelAwareGating-v0")] * 2, **options)
    envs.seed(0)
    envs.reset()
    rewards = [envs.step([action, action])[1].tolist() for action in (0, 1, 2)]
    envs.close()
    return rewards
roll("DMoE-JESA-v0", 0)
here, there = play(DummyVecEnv), play(SubprocVecEnv, start_method="fork")
""",
    "evaluate in joblib's processes": """
from joblib import Parallel, delayed
from dmoe_gym.dmoe import scenario
from dmoe_gym.dmoe.policies import JESA, JointPolicy
from dmoe_gym.evaluation import evaluate
def mean(seed):
    rows = evaluate(JointPolicy(JESA(scenario("small"))), "DMoE-JESA-v0", seeds=range(seed, seed + 64))
    return [row["cost"] for row in rows]
here = [mean(0), mean(64)]
there = Parallel(2, backend="multiprocessing")([delayed(mean)(0), delayed(mean)(64)])
""",
}

THREADS = """
def play(results, seed):
    results[seed] = roll("DMoE-JESA-v0", seed, steps=30)
here, there = {}, {}
for seed in range(4):
    play(here, seed)
threads = [threading.Thread(target=play, args=(there, seed)) for seed in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def finished(program: str, **environment: str) -> str:
    """What a program printed at its end; its error output where it failed."""
    process = subprocess.Popen(
        [sys.executable, "-c", ROLL + program + "\nprint('same' if here == there else 'different')"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=1200)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "hangs"
    return output.strip() if process.returncode == 0 else errors


@pytest.mark.parametrize("what", FORKED)
def test_a_forked_worker_does_what_its_parent_did(what):
    assert finished(FORKED[what]) == "same"


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_threads_that_step_at_the_same_time(layer):
    assert finished(THREADS, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2") == "same"

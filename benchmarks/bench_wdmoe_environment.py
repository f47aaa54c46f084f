"""Per-step cost of the WDMoE vector environment beside the bare random numbers of the same blocks.

    NUMBA_NUM_THREADS=1 python -m pytest benchmarks/bench_wdmoe_environment.py --benchmark-only \
        --benchmark-timer=time.process_time

`extra_info` holds microseconds per environment step; the quotient of two rows of one scenario is what deciding,
charging and observing a block cost beside drawing it.
"""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import dmoe_gym  # noqa: F401
from dmoe_gym.wdmoe import scenario

ENVIRONMENTS = 256
STEPS = 8


@pytest.mark.parametrize("name", ["testbed", "mixtral", "crowd"])
@pytest.mark.parametrize("env_id", ["WDMoE-v0", "WDMoE-Joint-v0"])
def test_step(benchmark, env_id, name):
    env = gym.make_vec(env_id, num_envs=ENVIRONMENTS, scenario=name, num_blocks=65_536)
    env.reset(seed=0)  # one long episode: its blocks cost the same as any, and no start comes between
    env.action_space.seed(0)
    actions = env.action_space.sample()
    env.step(actions)  # compile

    def steps():
        for _ in range(STEPS):
            env.step(actions)

    benchmark(steps)
    benchmark.extra_info["us_per_step"] = benchmark.stats["min"] / (ENVIRONMENTS * STEPS) * 1e6


@pytest.mark.parametrize("name", ["testbed", "mixtral", "crowd"])
def test_bare_random_numbers(benchmark, name):
    """One block's exponentials (fading) and gammas (gate weights) from one generator per environment."""
    config = scenario(name)
    generators = [np.random.default_rng(seed) for seed in range(ENVIRONMENTS)]
    fading = np.empty((2, config.num_devices), np.float32)
    weights = np.empty((config.num_tokens, config.num_devices), np.float32)
    bonus = np.empty(config.num_tokens, np.float32)

    def draws():
        for _ in range(STEPS):
            for generator in generators:
                generator.standard_exponential(dtype=np.float32, out=fading)
                generator.standard_gamma(config.relevance.concentration, dtype=np.float32, out=weights)
                generator.standard_gamma(config.relevance.domain_bonus, dtype=np.float32, out=bonus)

    benchmark(draws)
    benchmark.extra_info["us_per_step"] = benchmark.stats["min"] / (ENVIRONMENTS * STEPS) * 1e6

"""jumanji's `JobShop-v0`, 1024 environments under vmap and jit; runs in jumanji's own virtual environment.

As jumanji is meant to be used: resets inside (its AutoResetWrapper), STEPS steps in one compiled `lax.scan`, actions
drawn at random among the feasible ones within it. The same without drawing actions is not offered: its actions are
only valid where its mask says so.
"""

import json
import sys
import time
from importlib.metadata import version

import jax
import jax.numpy as jnp
import jumanji
from jumanji.wrappers import AutoResetWrapper

NUM_ENVS, STEPS = 1024, 32


def main() -> None:
    env = AutoResetWrapper(jumanji.make("JobShop-v0"))
    keys = jax.random.split(jax.random.PRNGKey(0), NUM_ENVS)
    state, timestep = jax.jit(jax.vmap(env.reset))(keys)

    def step(carry, key):
        state, timestep = carry
        mask = timestep.observation.action_mask
        # one operation per machine, each among its feasible ones
        action = jax.random.categorical(key, jnp.where(mask, 0.0, -jnp.inf), axis=-1)
        state, timestep = jax.vmap(env.step)(state, action)
        return (state, timestep), timestep.reward.sum()

    @jax.jit
    def run(state, timestep, key):
        return jax.lax.scan(step, (state, timestep), jax.random.split(key, STEPS))

    (state, timestep), rewards = run(state, timestep, jax.random.PRNGKey(1))
    rewards.block_until_ready()
    about = {"version": version("jumanji"), "jax": version("jax"), "steps": STEPS, "num_envs": NUM_ENVS}
    print(json.dumps(about), flush=True)
    for count, _ in enumerate(sys.stdin):
        key = jax.random.PRNGKey(count + 2)
        wall, processor = time.perf_counter(), time.process_time()
        (state, timestep), rewards = run(state, timestep, key)
        rewards.block_until_ready()
        times = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()

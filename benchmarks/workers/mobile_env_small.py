"""mobile-env's `mobile-small-central-v0` under random actions; runs in mobile-env's own virtual environment."""

import json
import sys
import time
from importlib.metadata import version

import gymnasium
import mobile_env  # noqa: F401 - registers its environments

STEPS = 100


def main() -> None:
    env = gymnasium.make("mobile-small-central-v0")
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(16)]

    def run() -> None:
        for step in range(STEPS):
            _, _, terminated, truncated, _ = env.step(actions[step % 16])
            if terminated or truncated:
                env.reset()

    run()
    print(json.dumps({"version": version("mobile-env"), "steps": STEPS}), flush=True)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        run()
        times = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()

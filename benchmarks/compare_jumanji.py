"""1024 environments of ours against jumanji's JobShop under vmap and jit; not part of `make bench`.

python3 -m venv /tmp/venv-jumanji && /tmp/venv-jumanji/bin/pip install jumanji jax
python -m benchmarks.compare_jumanji /tmp/venv-jumanji/bin/python
"""

from __future__ import annotations

import sys

from benchmarks.duel import Worker, in_turns
from benchmarks.environments import Stepper
from benchmarks.side_by_side import Clock, Row, faster
from benchmarks.table import show

INSTALL = "python3 -m venv /tmp/venv-jumanji && /tmp/venv-jumanji/bin/pip install jumanji jax"
NUM_ENVS = 1024


def main(python: str = "/tmp/venv-jumanji/bin/python") -> None:
    worker = Worker(python, "jumanji_job_shop.py", INSTALL)
    stepper = Stepper("DMoE-DES-v0", "small", NUM_ENVS)
    ours = Clock(stepper)
    in_turns(ours, worker, rounds=15)
    steps = worker.about["steps"] * worker.about["num_envs"]
    work = stepper.steps * NUM_ENVS
    show(
        [
            Row(
                f"DMoE-DES-v0 small, vector of {NUM_ENVS}",
                f"JobShop-v0 of jumanji {worker.about['version']} under vmap and jit, {NUM_ENVS}",
                *faster(ours, worker.clock, work, steps),
                aim=1,
                details={"steps_per_s": work / min(ours.wall), "jumanji_steps_per_s": steps / min(worker.clock.wall)},
            )
        ],
        "output/compare_jumanji.json",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

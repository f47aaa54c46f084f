"""One environment of ours against mobile-env's smallest, steps per second; not part of `make bench`.

python3 -m venv /tmp/venv-mobile && /tmp/venv-mobile/bin/pip install mobile-env
python -m benchmarks.compare_mobile_env /tmp/venv-mobile/bin/python
"""

from __future__ import annotations

import sys

from benchmarks.duel import Worker, in_turns
from benchmarks.side_by_side import Clock, Row, faster
from benchmarks.table import show
from benchmarks.test_facades import single_steps

INSTALL = "python3 -m venv /tmp/venv-mobile && /tmp/venv-mobile/bin/pip install mobile-env"
STEPS = 2000


def main(python: str = "/tmp/venv-mobile/bin/python") -> None:
    worker = Worker(python, "mobile_env_small.py", INSTALL)
    ours = Clock(single_steps(STEPS))
    in_turns(ours, worker, rounds=15)
    steps = worker.about["steps"]
    show(
        [
            Row(
                "DMoE-JESA-v0 small, gym.make",
                f"mobile-small-central-v0 of mobile-env {worker.about['version']}",
                *faster(ours, worker.clock, STEPS, steps),
                aim=50,
                details={
                    "steps_per_s": STEPS / min(ours.wall),
                    "mobile_env_steps_per_s": steps / min(worker.clock.wall),
                },
            )
        ],
        "output/compare_mobile_env.json",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Environments of other suites, each in its own virtual environment, in turns with ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from benchmarks.duel import NotInstalledError, Worker, python_with
from benchmarks.environments import Stepper
from benchmarks.side_by_side import Row, faster
from benchmarks.test_facades import single_steps

SINGLE_STEPS, BATCH = 4000, 1024


@contextmanager
def worker_of(name: str, script: str, *packages: str) -> Iterator[Worker]:
    try:
        worker = Worker(python_with(name, *packages), script)
    except NotInstalledError as reason:
        pytest.skip(str(reason))
    yield worker
    worker.close()


def test_single_environment_against_mobile_env(in_turns: Callable, report: Callable) -> None:
    with worker_of("mobile-env", "mobile_env_small.py", "mobile-env") as worker:
        ours, _ = in_turns(single_steps(SINGLE_STEPS), worker, rounds=8)
        steps = worker.about["steps"]
        report(
            Row(
                "DMoE-JESA-v0 small, gym.make",
                f"mobile-small-central-v0 of mobile-env {worker.about['version']}",
                *faster(ours, worker.clock, SINGLE_STEPS, steps),
                aim=50,
                details={
                    "steps_per_s": SINGLE_STEPS / min(ours.wall),
                    "mobile_env_steps_per_s": steps / min(worker.clock.wall),
                },
            )
        )


def test_des_vector_against_jumanji(in_turns: Callable, report: Callable) -> None:
    with worker_of("jumanji", "jumanji_job_shop.py", "jumanji", "jax") as worker:
        stepper = Stepper("DMoE-DES-v0", "small", BATCH)
        ours, _ = in_turns(stepper, worker, rounds=8)
        work, steps = stepper.steps * BATCH, worker.about["steps"] * worker.about["num_envs"]
        report(
            Row(
                f"DMoE-DES-v0 small, vector of {BATCH:,}",
                f"JobShop-v0 of jumanji {worker.about['version']} under jax.vmap and jit, {BATCH:,}",
                *faster(ours, worker.clock, work, steps),
                aim=1,
                details={"steps_per_s": work / min(ours.wall), "jumanji_steps_per_s": steps / min(worker.clock.wall)},
            )
        )

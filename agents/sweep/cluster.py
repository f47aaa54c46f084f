"""The engine for a Ray cluster, for those who outgrow one machine (extra `ray`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from agents.status import Status, read_status, write_status
from agents.sweep.jobs import Job, Outcome, Report
from agents.sweep.local import DEATHS, POLL, SINGLE_THREAD
from agents.train import reference_rows, train


def run_on_ray(jobs: Sequence[Job], workers: int, report: Report) -> Iterator[Outcome]:
    """Run jobs as tasks of a Ray cluster, one core each, and yield each when it ends.

    Ray starts a task again whose worker was killed; it then goes on from its checkpoint. The cluster is the one of
    `RAY_ADDRESS`, or a local one of `workers` cores. All its machines must see the checkout, the recipes and the run
    folders under the same paths.

    Raises:
        ImportError: without the extra `ray`.
    """
    try:
        import ray
    except ImportError:
        raise ImportError("engine = 'ray': needs the extra ray (pip install 'dmoe_gym[ray]')") from None

    owned = not ray.is_initialized()
    if owned:
        address = os.environ.get("RAY_ADDRESS")
        options: dict[str, Any] = {"address": address} if address else {"include_dashboard": False}
        if not address and workers > 0:
            options["num_cpus"] = workers
        environment = {"env_vars": {**SINGLE_THREAD, "PYTHONPATH": os.pathsep.join(_paths())}}
        ray.init(runtime_env=environment, **options)
    task = ray.remote(num_cpus=1, max_retries=DEATHS - 1)(train_job)
    waiting = {task.remote(job): job for job in jobs}
    try:
        while waiting:
            done, _ = ray.wait(list(waiting), num_returns=1, timeout=POLL)
            for job in waiting.values():
                status = read_status(job.folder.path)
                if status is not None and status.state == "training":
                    report(job, status.steps)
            for reference in done:
                job = waiting.pop(reference)
                try:
                    ray.get(reference)
                    yield Outcome(job, "finished")
                except ray.exceptions.RayError as error:
                    yield _failed(job, error)
    except BaseException:
        for reference in waiting:
            ray.cancel(reference)  # raises KeyboardInterrupt in the worker, which writes a checkpoint
        ray.wait(list(waiting), num_returns=len(waiting), timeout=30)
        raise
    finally:
        if owned:
            ray.shutdown()


def train_job(job: Job) -> None:
    """Train one seed from wherever it stands; runs in a worker of the cluster."""
    references = reference_rows(job.config, job.root)
    train(job.config, job.recipe.stem, job.seed, job.root, references, resume=True, progress_bar=False)


def _failed(job: Job, error: Exception) -> Outcome:
    cause = getattr(error, "cause", None)
    said = " ".join(str(cause or error).split())[:300]
    status = read_status(job.folder.path) or Status("failed", total_steps=job.config.total_timesteps)
    job.folder.path.mkdir(parents=True, exist_ok=True)
    write_status(job.folder.path, replace(status, state="failed", error=said))
    return Outcome(job, "failed", said)


def _paths() -> list[str]:
    """Where workers find this checkout."""
    return [path or os.getcwd() for path in sys.path if path == "" or os.path.isdir(path)]

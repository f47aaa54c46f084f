"""Sweeping: what is left to run, run by an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from agents.status import Status, read_status, write_status
from agents.sweep.cluster import run_on_ray
from agents.sweep.jobs import Job, Outcome, Report, is_finished
from agents.sweep.local import run_local

Engine = Callable[[Sequence[Job], int, Report], Iterator[Outcome]]
ENGINES: dict[str, Engine] = {"joblib": run_local, "ray": run_on_ray}


def sweep(
    jobs: Sequence[Job], *, engine: str = "joblib", workers: int = -1, report: Report = lambda job, steps: None
) -> Iterator[Outcome]:
    """Run the jobs that are not finished, and yield how each ended; finished ones first.

    Args:
        jobs: from `jobs_of`.
        engine: one of ENGINES.
        workers: runs at a time; -1 for one per core.
        report: called with a job and its environment steps while it runs, from any thread.

    Raises:
        ValueError: for an unknown engine.
        KeyboardInterrupt: on Ctrl-C, when every running job has written its checkpoint.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine = {engine!r}: valid are {', '.join(ENGINES)}")
    left = []
    for job in jobs:
        if is_finished(job):
            _mark_finished(job)
            yield Outcome(job, "finished")
        else:
            left.append(job)
    if left:
        yield from ENGINES[engine](left, workers, report)


def _mark_finished(job: Job) -> None:
    """Correct the status of a run that was killed after its last checkpoint."""
    status = read_status(job.folder.path)
    if status is None or status.state != "finished":
        steps = job.config.total_timesteps
        write_status(job.folder.path, Status("finished", steps=steps, total_steps=steps))

"""Recipes x seeds: trained in parallel, resumed where they stopped, listed with how they ended.

One engine runs every training as a process of this machine, so that one that is killed takes no other with it; another
is for a Ray cluster (extra `ray`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock
from typing import Any

from joblib import Parallel, delayed

from agents.check import check_recipe
from agents.config import IMPORTED, TrainingConfig, load_config
from agents.run_folder import RunFolder, State, Status, read_status, write_status
from agents.train import reference_rows, train
from dmoe_gym.io.extras import needed_for


@dataclass(frozen=True)
class Job:
    """One seed of a recipe, a YAML file and what it holds; `root` is that of the run folders."""

    recipe: Path
    config: TrainingConfig
    seed: int
    root: Path

    @property
    def folder(self) -> RunFolder:
        """Where its run is kept."""
        return RunFolder.of(self.root, self.config, self.recipe.stem, self.seed)

    @property
    def name(self) -> str:
        """The run folder below the root, as people call it."""
        return str(self.folder.path.relative_to(self.root))


@dataclass(frozen=True)
class Outcome:
    """How a job ended, with the error in one line if it failed."""

    job: Job
    state: State
    error: str = ""


# Called with a job and the environment steps it has behind it.
Report = Callable[[Job, int], None]


def seeds_of(text: str) -> list[int]:
    """Seeds named by numbers and ranges: "0-4,7" is 0, 1, 2, 3, 4 and 7.

    Raises:
        ValueError: for anything else.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"seeds = {text!r}: valid are numbers and ranges, as 0-4,7")
        seeds += range(int(first), int(last if dash else first) + 1)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds = {text!r}: valid are one or more different seeds")
    return seeds


def jobs_of(recipes: Sequence[Path], seeds: Sequence[int] | None, root: Path) -> list[Job]:
    """The jobs of recipes, after each recipe has been checked; seed after seed, so that every recipe gets its first
    results early.

    Args:
        recipes: YAML files.
        seeds: instead of each recipe's own.
        root: of the run folders.

    Raises:
        ValueError: for a recipe that is not valid, or two that would share a run folder.
    """
    ranked: list[tuple[int, Job]] = []
    for recipe in recipes:
        config = load_config(recipe)
        check_recipe(config, seeds)
        ranked += enumerate(Job(recipe, config, seed, root) for seed in (seeds or config.seeds))
    jobs = [job for _, job in sorted(ranked, key=lambda entry: entry[0])]
    folders = [job.folder.path for job in jobs]
    twice = [job for job in jobs if folders.count(job.folder.path) > 1]
    if twice:
        raise ValueError(f"{twice[0].recipe}, {twice[-1].recipe}: both are run in {twice[0].folder.path}")
    return jobs


def is_finished(job: Job) -> bool:
    """Whether the run has all its steps behind it and is evaluated; one with a damaged file is not."""
    try:
        return job.folder.is_finished(job.config)
    except ValueError:
        return False


def groups_of(jobs: Iterable[Job]) -> dict[str, TrainingConfig]:
    """One configuration per group, for the references that its runs share."""
    return {job.config.group: job.config for job in jobs}


LOG = "train.log"
# Seconds between two looks at a process.
POLL = 0.5
# Times in a row that a run's process may be killed without having got further before the run is given up.
DEATHS = 3
INTERRUPTED = 130
SINGLE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
Command = Callable[[Job], list[str]]


def training_command(job: Job) -> list[str]:
    """What trains one seed from wherever it stands."""
    options = ["--seed", str(job.seed), "--runs", str(job.root), "--resume", "--no-progress", "--jobs", "1"]
    imports = [part for name in IMPORTED for part in ("--import", name)]
    return [sys.executable, "-m", "agents", *imports, "train", str(job.recipe), *options]


def run_local(
    jobs: Sequence[Job], workers: int, report: Report, *, command: Command = training_command
) -> Iterator[Outcome]:
    """Run jobs as local processes, `workers` at a time, and yield each when it ends.

    A process that is killed is started again and goes on from its checkpoint. An interrupt (Ctrl-C) is handed to every
    process, which writes a checkpoint, and then raised.

    Args:
        jobs: what is run.
        workers: processes at a time; -1 for one per core.
        report: told of progress, from several threads.
        command: what a job's process runs.
    """
    processes = _Processes()
    # the threads only wait for their processes
    results = Parallel(n_jobs=workers, backend="threading", return_as="generator_unordered", pre_dispatch="all")(
        delayed(_train)(job, processes, report, command) for job in jobs
    )
    try:
        yield from results
    except BaseException:
        processes.interrupt()
        raise


class _Processes:
    """The processes that run now; they are interrupted together, once."""

    def __init__(self) -> None:
        self.stopping = Event()
        self._lock = Lock()
        self._running: set[subprocess.Popen[bytes]] = set()

    def start(self, command: list[str], log: Path) -> subprocess.Popen[bytes] | None:
        """A new process that writes into `log`; None after an interrupt."""
        with self._lock, log.open("ab") as output:
            if self.stopping.is_set():
                return None
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **SINGLE_THREAD, "PYTHONPATH": os.pathsep.join(_paths())},
                start_new_session=True,  # Ctrl-C reaches it through `interrupt` alone, and not twice
            )
            self._running.add(process)
            return process

    def ended(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.discard(process)

    def interrupt(self) -> None:
        """Interrupt every process and wait until its checkpoint is written."""
        with self._lock:
            self.stopping.set()
            running = list(self._running)
        while True:
            for process in running:
                process.send_signal(signal.SIGINT)
            try:
                for process in running:
                    process.wait()
                return
            except KeyboardInterrupt:  # asked again: tell them again, upon which they stop at once
                continue


def _train(job: Job, processes: _Processes, report: Report, command: Command) -> Outcome:
    """Run a job's process, again if it was killed."""
    path = job.folder.path
    path.mkdir(parents=True, exist_ok=True)
    deaths, furthest = 0, -1
    while True:
        log_begins = (path / LOG).stat().st_size if (path / LOG).exists() else 0
        process = processes.start(command(job), path / LOG)
        if process is None:
            return Outcome(job, "interrupted")
        while (code := _wait(process)) is None:
            status = read_status(path)
            report(job, status.steps if status else 0)
        processes.ended(process)
        if code == 0:
            return Outcome(job, "finished")
        status = read_status(path) or Status("training", total_steps=job.config.total_timesteps)
        if processes.stopping.is_set() or code == INTERRUPTED:
            write_status(path, replace(status, state="interrupted"))
            return Outcome(job, "interrupted")
        error = _last_line(path / LOG, log_begins) or f"exit status {code}"
        if code < 0:  # killed by a signal
            error = f"killed by signal {-code}"
            deaths = 1 if status.steps > furthest else deaths + 1
            furthest = max(furthest, status.steps)
            status = replace(status, deaths=status.deaths + 1)
            write_status(path, status)
            if deaths < DEATHS:
                continue
            error += f", {DEATHS} times without getting further"
        write_status(path, replace(status, state="failed", error=error))
        return Outcome(job, "failed", error)


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(POLL)
    except subprocess.TimeoutExpired:
        return None


def _last_line(log: Path, begins: int) -> str:
    """What a process said last, without the prefix of one-line errors."""
    with log.open("rb") as file:
        file.seek(begins)
        lines = file.read().decode(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return said[-1].removeprefix("error: ") if said else ""


def run_on_ray(jobs: Sequence[Job], workers: int, report: Report) -> Iterator[Outcome]:
    """Run jobs as tasks of a Ray cluster, one core each, and yield each when it ends.

    Ray starts a task again whose worker was killed; it then goes on from its checkpoint. The cluster is the one of
    `RAY_ADDRESS`, or a local one of `workers` cores. All its machines must see the checkout, the recipes and the run
    folders under the same paths.

    Raises:
        ImportError: without the extra `ray`.
    """
    with needed_for("engine = 'ray'"):
        import ray

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
    train(job.config, job.recipe.stem, job.seed, job.root, references, resume=True)


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

"""The engine for one machine: every run is a process of its own, so that one that is killed takes no other with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock

from joblib import Parallel, delayed

from agents.status import Status, read_status, write_status
from agents.sweep.jobs import Job, Outcome, Report

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
    return [sys.executable, "-m", "agents", "train", str(job.recipe), *options]


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
                env={**os.environ, **SINGLE_THREAD},
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

"""`python -m agents sweep`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from agents.interrupt import handled, stop
from agents.status import read_status
from agents.sweep.jobs import Job, Outcome, groups_of, jobs_of, seeds_of
from agents.sweep.run import ENGINES
from agents.sweep.run import sweep as run_sweep
from agents.train import reference_rows
from dmoe_gym.io.command_line import bar, one_line_errors, wide_console


@one_line_errors
def sweep(
    recipe: Annotated[list[Path], typer.Argument(help="YAML files, as configs/*.yaml.")],
    seeds: Annotated[str | None, typer.Option(help="Instead of each recipe's own: 0-9 or 0,3,7.")] = None,
    runs: Annotated[Path, typer.Option(help="Root of the run folders.")] = Path("runs"),
    jobs: Annotated[int, typer.Option(help="Runs at a time; -1 is one per core.")] = -1,
    engine: Annotated[str, typer.Option(help=f"What runs them: {', '.join(ENGINES)}.")] = "joblib",
) -> None:
    """Train recipes x seeds, several at a time with one thread each.

    Finished runs are not repeated, the others go on from their checkpoints.
    After Ctrl-C or a crash give the same command again.
    A run that fails does not stop the others; it is listed with its error, and tried again next time.
    """
    console = wide_console()
    listed = jobs_of(recipe, seeds_of(seeds) if seeds is not None else None, runs)
    if engine not in ENGINES:
        raise ValueError(f"engine = {engine!r}: valid are {', '.join(ENGINES)}")
    for group, config in groups_of(listed).items():
        console.print(f"{group}: analytic schedulers and bounds on {config.evaluation.episodes} held-out episodes")
        with bar(console) as progress:
            reference_rows(config, runs, jobs=jobs, progress=partial(progress.task, total=config.evaluation.episodes))
    outcomes = []
    with handled(stop), SweepBars(console, listed) as bars:
        try:
            for outcome in run_sweep(listed, engine=engine, workers=jobs, report=bars.report):
                bars.ended(outcome)
                outcomes.append(outcome)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("every run has kept its checkpoint; the same command goes on") from None
    console.print(outcome_table(outcomes))
    if any(outcome.state != "finished" for outcome in outcomes):
        raise typer.Exit(1)


class SweepBars:
    """A bar over all runs and one for each that runs now; without a terminal, a line for each that ends."""

    def __init__(self, console: Console, jobs: Iterable[Job]) -> None:
        self._console = console
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
        self._all = self._progress.add_task("runs", total=len(list(jobs)))
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> SweepBars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def report(self, job: Job, steps: int) -> None:
        """Show a running job's steps."""
        if job.name not in self._tasks:
            self._tasks[job.name] = self._progress.add_task(job.name, total=job.config.total_timesteps)
        self._progress.update(self._tasks[job.name], completed=steps)

    def ended(self, outcome: Outcome) -> None:
        """Replace a job's bar by a line."""
        task = self._tasks.pop(outcome.job.name, None)
        if task is not None:
            self._progress.remove_task(task)
        self._progress.advance(self._all)
        self._console.print(f"{outcome.job.name}: {outcome.state} {outcome.error}".rstrip(), markup=False)
        sys.stdout.flush()


def outcome_table(outcomes: Iterable[Outcome]) -> Table:
    """How every run ended."""
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for heading in ("run", "state", "steps", "minutes", "minutes of one core", "killed", "error"):
        table.add_column(heading, justify="left" if heading in ("run", "state", "error") else "right")
    for outcome in sorted(outcomes, key=lambda outcome: outcome.job.name):
        status = read_status(outcome.job.folder.path)
        figures = ("", "", "", "")
        if status is not None:
            minutes = f"{status.wall_seconds / 60:.1f}", f"{status.cpu_seconds / 60:.1f}"
            figures = (f"{status.steps:,}", *minutes, str(status.deaths))
        table.add_row(outcome.job.name, outcome.state, *figures, escape(outcome.error))
    return table

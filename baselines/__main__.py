"""`python -m baselines`: evaluate analytic schedulers and bounds on shared episodes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from baselines import leaderboard as board
from dmoe_gym.evaluation import Row, by_policy, evaluate_line_up, held_out_seeds, line_up_of, read_rows
from dmoe_gym.evaluation.table import print_line_up
from dmoe_gym.evaluation.tensorboard import event_writer, write_lines
from dmoe_gym.io.command_line import bar, one_line_errors, overrides_of, own_and_named, told_command, wide_console
from dmoe_gym.io.files import replace_section, write_csv, write_whole
from dmoe_gym.registration import ENVIRONMENTS, system_of

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


@app.command("list")
def list_environments() -> None:
    """The environments, their scenarios' names, and the policies and bounds of each."""
    console, said = wide_console(), set()
    for env_id in ENVIRONMENTS:
        try:
            system, line_up = system_of(env_id), line_up_of(env_id)
        except ImportError as error:  # the others can be used without
            console.print(f"[bold]{env_id}[/]: {escape(str(error))}", highlight=False)
            continue
        if system.name not in said:
            said.add(system.name)
            console.print(f"scenarios of {system.name}: {', '.join(system.scenarios)}", highlight=False)
        bounds = f"; bounds: {', '.join(line_up.bounds)}" if line_up.bounds else ""
        console.print(f"[bold]{env_id}[/]: {', '.join(line_up.policies)}{bounds}", highlight=False)


@app.command()
@one_line_errors
def evaluate(
    env_id: Annotated[str, typer.Argument(help="A registered environment, as DMoE-JESA-v0.")],
    scenario: Annotated[str | None, typer.Option(help="A named scenario; the environment's own by default.")] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Held-out episodes, the same for every policy.")] = 100,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            "-p",
            "--extra",
            help="A policy or scheduler of your own, MODULE:CLASS or NAME=MODULE:CLASS, beside the references; "
            "or the name of a reference: then only those named. May be repeated.",
        ),
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", help="Override a configuration field: --set threshold=0.6.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where the CSV goes; output/ENV-SCENARIO.csv by default.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Also a folder with report.md, a picture and TensorBoard's runs.")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Also write one TensorBoard run per policy into this folder.")
    ] = None,
    last_step: Annotated[int, typer.Option(min=1, help="Where TensorBoard's flat lines end.")] = 1_000_000,
    jobs: Annotated[int, typer.Option(help="Processes for the bounds; -1 is one per core.")] = -1,
) -> None:
    """Print each policy's means with 95 % bootstrap intervals over held-out episodes, and write all rows as CSV."""
    console = wide_console()
    overrides = overrides_of(override or [])
    own, names = own_and_named(policy or [])
    line_up = line_up_of(env_id, scenario, **overrides)
    if report is not None or tensorboard is not None:  # what is missing is said before anything runs
        event_writer()
    if report is not None:
        from dmoe_gym.evaluation.report import write_report
    with bar(console) as progress:
        rows = evaluate_line_up(
            env_id,
            scenario=scenario,
            seeds=held_out_seeds(episodes),
            names=names,
            extra=own,
            jobs=jobs,
            progress=lambda name: progress.task(name, episodes),
            **overrides,
        )
    path = write_csv(output or Path("output") / f"{env_id}-{scenario or 'default'}.csv", rows)
    title = f"{env_id}, scenario {scenario or 'default'}, {episodes} held-out episodes, means and 95 % intervals"
    print_line_up(console, title, rows, line_up)
    console.print(f"all rows: {path}")
    if report is not None:
        console.print(f"report: {write_report(report, title, told_command(), rows, line_up, own=list(own))}")
    if tensorboard is not None:
        write_lines(tensorboard, rows, line_up, by_policy(rows), last_step)
    for folder in filter(None, (report, tensorboard)):
        console.print(f"tensorboard --logdir {folder}")


@app.command()
@one_line_errors
def compare(
    file: Annotated[list[Path], typer.Argument(help="CSV files that `evaluate` wrote, of the same episodes.")],
    reference: Annotated[
        str | None, typer.Option(help="Whose costs the others' are paired with; the environment's by default.")
    ] = None,
) -> None:
    """Show rows of several evaluations in one table; of a policy that is in several files, the first one's."""
    groups: dict[str, list[Row]] = {}
    for one in file:
        for name, group in by_policy(read_rows(one)).items():
            if not all({"env_id", "scenario", "configuration"} <= set(row) for row in group):
                raise ValueError(f"{one}: is no file that `evaluate` wrote")
            if len({row["seed"] for row in group}) < len(group):
                raise ValueError(f"{one}: has {name} at several steps; valid is one evaluation")
            groups.setdefault(name, group)
    rows = [row for group in groups.values() for row in group]
    kinds = {row["configuration"] for row in rows}
    if len(kinds) != 1:
        raise ValueError(f"{', '.join(map(str, file))}: are of {len(kinds)} configurations, valid is one")
    first = rows[0]
    scenario = first["scenario"]
    line_up = line_up_of(first["env_id"], None if scenario == "default" else scenario)
    if reference is not None:
        if reference not in groups:
            raise ValueError(f"reference = {reference!r}: valid are {', '.join(sorted(groups))}")
        line_up = replace(line_up, reference=reference)
    title = f"{line_up.env_id}, scenario {scenario}, means and 95 % intervals over episodes"
    print_line_up(wide_console(), title, rows, line_up)


leaderboard = typer.Typer(help="A policy on frozen tasks, as a file that can be checked.", no_args_is_help=True)
app.add_typer(leaderboard, name="leaderboard")


@leaderboard.command("tasks")
def list_tasks() -> None:
    """The frozen tasks."""
    for task in board.TASKS:
        print(f"{task.name}: {len(task.seeds)} episodes, seeds from {task.seeds.start}")


@leaderboard.command("run")
@one_line_errors
def run_tasks(
    out: Annotated[Path, typer.Option(help="The file, as leaderboard/NAME.json.")],
    policy: Annotated[
        list[str],
        typer.Option(
            "--policy",
            "-p",
            help="MODULE:CLASS, which acts where schedulers do; ENV_ID=MODULE:CLASS, which acts there; or the name of "
            "a scheduler. If repeated, the first that is for a task plays it.",
        ),
    ],
    name: Annotated[str | None, typer.Option(help="On the board; the file's name by default.")] = None,
    about: Annotated[str, typer.Option(help="One sentence for the board.")] = "",
) -> None:
    """Play all tasks and write one JSON file: costs, versions, and the actions of some episodes."""
    console = wide_console()
    entrants = []
    for each in policy:
        own, names = own_and_named([each])
        if names:
            entrants.append(board.Entrant(None, names[0]))
            continue
        place = each.rpartition("=")[0] or None
        if place is not None and place not in ENVIRONMENTS:
            raise ValueError(f"policy = {each!r}: valid are ENV_ID=MODULE:CLASS with {', '.join(ENVIRONMENTS)}")
        entrants.append(board.Entrant(place, next(iter(own.values()))))
    made = board.entry(
        name or out.stem,
        about,
        told_command(),
        entrants,
        lambda said: console.print(said, markup=False, highlight=False),
    )
    console.print(f"written: {write_whole(out, json.dumps(made) + chr(10))}")


@leaderboard.command("check")
@one_line_errors
def check_files(file: Annotated[list[Path], typer.Argument(help="Leaderboard files.")]) -> None:
    """Check format, seeds and versions, and play the kept episodes again."""
    for one in file:
        print(f"{one}: {len(board.checked(one)['tasks'])} of {len(board.TASKS)} tasks, right")


@leaderboard.command("show")
@one_line_errors
def show_board(
    file: Annotated[list[Path], typer.Argument(help="Leaderboard files, which are checked.")],
    into: Annotated[
        Path | None, typer.Option(help="A page that gets the tables between its marks `<!-- leaderboard begins -->`.")
    ] = None,
) -> None:
    """The tables of several files."""
    tables = board.board([board.checked(one) for one in file])
    print(tables if into is None else f"written: {replace_section(into, 'leaderboard', tables)}")


if __name__ == "__main__":
    app(prog_name="python -m baselines")

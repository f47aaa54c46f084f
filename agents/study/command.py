"""`python -m agents study`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from optuna.trial import FrozenTrial
from rich.box import SIMPLE_HEAD
from rich.table import Table

from agents.config import load_config
from agents.study.space import load_space
from agents.study.study import BEST, Budget, ranked, run_study
from agents.train import check_recipe
from dmoe_gym.io.command_line import bar, one_line_errors, wide_console

SHOWN = 5


@one_line_errors
def study(
    recipe: Annotated[Path, typer.Argument(help="A YAML file, as configs/sac_price_small.yaml.")],
    trials: Annotated[int, typer.Option(min=1, help="The study's trials, with those of earlier calls.")] = 20,
    minutes: Annotated[float, typer.Option(min=0.01, help="After these no trial starts or goes on.")] = 60,
    timesteps: Annotated[int | None, typer.Option(min=1, help="Of a training run; the recipe's by default.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Training runs per trial, averaged.")] = 1,
    episodes: Annotated[int, typer.Option(min=1, help="Validation episodes.")] = 100,
    space: Annotated[
        Path | None, typer.Option(help="What is searched; configs/spaces/ALGORITHM.yaml by default.")
    ] = None,
    studies: Annotated[Path, typer.Option(help="Root of the study folders.")] = Path("studies"),
) -> None:
    """Search a recipe's hyperparameters with Optuna, on validation episodes that no published number uses.

    Give the same command again to continue.
    Budget and trials are kept in STUDIES/RECIPE/journal.jsonl, the best trial as a recipe in best.yaml beside it.
    """
    console = wide_console()
    config = load_config(recipe)
    if timesteps is not None:
        config = config.replace(total_timesteps=timesteps)
    check_recipe(config)
    searched = load_space(config, space)
    budget = Budget(trials, minutes, config.total_timesteps, episodes, seeds)
    folder = studies / recipe.stem
    console.print(
        f"{folder}: at most {trials} trials of {seeds} x {config.total_timesteps:,} steps and {minutes:g} minutes; "
        f"searched: {', '.join(searched.entries)}",
        soft_wrap=True,
    )
    with bar(console) as bars:
        advance = bars.task("trials", trials)

        def report(trial: FrozenTrial) -> None:
            advance(1)
            console.print(f"trial {trial.number}: {trial.state.name.lower()} {_cost(trial)}", highlight=False)

        command = shlex.join(["python", "-m", "agents", *sys.argv[1:]])
        found = run_study(folder, searched, budget, command=command, report=report)
    table = Table(header_style="bold", box=SIMPLE_HEAD)
    for heading in ("trial", "cost", *searched.entries):
        table.add_column(heading.rpartition(".")[2], justify="right")
    for trial in ranked(found)[:SHOWN]:
        values = [trial.params.get(name, "") for name in searched.entries]
        cells = [format(value, ".3g") if isinstance(value, float) else str(value) for value in values]
        table.add_row(str(trial.number), _cost(trial), *cells)
    console.print(table)
    if not ranked(found):
        console.print("no trial was completed")
        raise typer.Exit(1)
    console.print(f"best: {folder / BEST}")


def _cost(trial: FrozenTrial) -> str:
    return "" if trial.value is None else f"{trial.value:.6g}"

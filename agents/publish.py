"""`python -m agents publish`: runs of several seeds against their environment's reference, as a table in a page."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from agents.evaluate import evaluate_runs
from dmoe_gym.command_line import bar, one_line_errors, wide_console
from dmoe_gym.evaluation import Interval, Row, by_policy
from dmoe_gym.evaluation.markdown import markdown_table
from dmoe_gym.evaluation.table import rich_table
from dmoe_gym.files import replace_section, write_csv
from dmoe_gym.lineup import Lineup

METRICS = ("accuracy", "energy_per_state_mJ", "latency_ms", "relevance")


@one_line_errors
def publish(
    run: Annotated[list[Path], typer.Argument(help="Run folders of one group; RECIPE-seedN are runs of one recipe.")],
    episodes: Annotated[int, typer.Option(min=2, help="Held-out episodes, the same for every policy.")] = 100,
    output: Annotated[Path | None, typer.Option(help="Where the rows go; RUN's group folder by default.")] = None,
    document: Annotated[Path | None, typer.Option(help="Also put the table into this page, as docs/gating.md.")] = None,
    section: Annotated[str, typer.Option(help="The page's section.")] = "agents",
    jobs: Annotated[int, typer.Option(help="Processes for the bounds; -1 is one per core.")] = 1,
) -> None:
    """Cost of recipes and analytic policies minus the reference's, paired by episode, with intervals over runs."""
    console = wide_console()
    with bar(console) as progress:
        rows, lineup = evaluate_runs(run, episodes, jobs=jobs, progress=lambda name: progress.task(name, episodes))
    file = write_csv(output or run[0].parent / "published.csv", rows)
    headings, body = recipe_cells(rows, lineup)
    title = f"{lineup.env_id}, {rows[0]['scenario']} scenario, {episodes} held-out episodes"
    console.print(rich_table(title, headings, body))
    console.print(f"all rows: {file}")
    if document is not None:
        replace_section(document, section, published(rows, lineup, title, sys.argv[1:]))
        console.print(f"table: {document}")


def published(rows: Sequence[Row], lineup: Lineup, title: str, arguments: Sequence[str]) -> str:
    """The section of a page: the command, with runs of one recipe as one pattern, and the table."""
    short = dict.fromkeys(re.sub(r"-seed\d+/?$", "-seed*", argument) for argument in arguments)
    return (
        f"Made by `python -m agents {' '.join(short)}`: {title}. Differences are paired by episode; brackets hold 95 % "
        "intervals, over episodes by the bootstrap (of a recipe: of the mean of its runs) and over a recipe's runs by "
        f"Student's t.\n\n{markdown_table(*recipe_cells(rows, lineup))}"
    )


def recipe_cells(rows: Sequence[Row], lineup: Lineup) -> tuple[list[str], list[list[str]]]:
    """Headings and cells, dearest first: analytic policies, bounds and recipes against the line-up's reference."""
    groups = by_policy(rows)
    recipes: dict[str, list[str]] = {}
    for name in groups:
        recipes.setdefault(re.sub(r"-seed\d+$", "", name), []).append(name)
    reference = _column(groups[lineup.reference], "cost")
    metric = next((name for name in METRICS if all(name in row for row in rows)), None)
    headings = ["policy", "runs", "cost", *([metric] if metric else [])]
    headings += [f"cost minus {lineup.reference}'s, over episodes", "over runs"]
    lines = []
    for recipe, names in recipes.items():
        runs = np.stack([_column(groups[name], "cost") for name in names])
        differences = runs - reference
        line = [recipe, str(len(names)) if names != [recipe] else "", f"{runs.mean():.4f}"]
        if metric:
            line.append(f"{np.mean([_column(groups[name], metric) for name in names]):.4f}")
        line.append("" if recipe == lineup.reference else format(Interval.of(differences.mean(axis=0)), "+.4f"))
        line.append(format(Interval.of_few(differences.mean(axis=1)), "+.4f") if len(names) > 1 else "")
        lines.append((runs.mean(), line))
    return headings, [line for _, line in sorted(lines, key=lambda pair: -pair[0])]


def _column(rows: Sequence[Row], key: str) -> np.ndarray:
    return np.array([row[key] for row in rows], float)

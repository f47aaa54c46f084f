"""The table of a line-up: one line per policy, means with 95 % intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console

from dmoe_gym.evaluation.run import Row
from dmoe_gym.evaluation.statistics import Interval, by_policy, compare
from dmoe_gym.evaluation.tensorboard import mean_cost
from dmoe_gym.io.command_line import print_table
from dmoe_gym.registration import system_of
from dmoe_gym.system import PREDICT_TIME, LineUp, Metric


def cells(rows: Sequence[Row], optimum: str, reference: str) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table, dearest policy first.

    The gap to the optimum is a ratio of means minus one; the difference to the reference is paired by episode.
    Columns are those of the system's record that a row has; the optimum and the reference must be among the rows to be
    compared to.
    """
    groups = by_policy(rows)
    metrics = (*system_of(rows[0]["env_id"]).metrics, PREDICT_TIME)
    columns = [metric for metric in metrics if any(metric.name in row for row in rows)]
    headings = ["policy", *(column.heading for column in columns)]
    if optimum in groups:
        headings.append(f"gap to {optimum}")
    if reference in groups:
        headings.append(f"cost minus {reference}'s")
        differences = {comparison.policy: comparison for comparison in compare(rows, reference)}
    body = []
    for name in sorted(groups, key=lambda name: -mean_cost(groups[name], name)):
        line = [name]
        for column in columns:
            values = [row[column.name] for row in groups[name] if column.name in row]
            line.append(_cell(values, column))
        if optimum in groups:
            optimal = mean_cost(groups[optimum], optimum)
            line.append(f"{mean_cost(groups[name], name) / optimal - 1:+.2%}" if optimal else "–")
        if reference in groups:
            line.append("" if name == reference else two_lines(differences[name].difference, "+.4f"))
        body.append(line)
    return headings, body


def _cell(values: Sequence[float], column: Metric) -> str:
    if not values or any(value != value for value in values):
        return "–"
    interval = Interval.of(values)
    return two_lines(interval, column.format) if column.interval else format(interval.mean, column.format)


def two_lines(interval: Interval, spec: str) -> str:
    """A cell: the mean, and under it the interval."""
    return f"{interval.mean:{spec}}\n{interval.brackets(spec)}".rstrip()


def print_line_up(console: Console, title: str, rows: Sequence[Row], line_up: LineUp) -> None:
    """Print the table on a terminal."""
    print_table(console, *cells(rows, line_up.optimum, line_up.reference), title=title)


def markdown_table(headings: Sequence[str], body: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; the first column is text, the others are aligned to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *body]
    return "\n".join("| " + " | ".join(str(cell).replace("\n", " ") for cell in line) + " |" for line in lines) + "\n"

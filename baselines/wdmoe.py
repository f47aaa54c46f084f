"""`python -m baselines wdmoe-comparison`: what expert selection and bandwidth allocation bring in WDMoE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dmoe_gym.evaluation import (
    Comparison,
    Interval,
    Row,
    by_policy,
    compare,
    evaluate_line_up,
    held_out_seeds,
    line_up_of,
)
from dmoe_gym.evaluation.table import markdown_table, rich_table, two_lines
from dmoe_gym.io.command_line import Bars, bar, one_line_errors, wide_console
from dmoe_gym.io.files import read_csv, replace_section, write_csv
from dmoe_gym.reports.plots import latency_panels
from dmoe_gym.wdmoe import SCENARIOS

ENV_ID, METRIC, VANILLA = "WDMoE-v0", "latency_ms", "top-2-equal"
# what changes from the second policy to the first
EFFECTS = (
    ("optimal bandwidth alone", "top-2-optimal", VANILLA),
    ("WLR selection alone", "WLR-equal", VANILLA),
    ("WLR selection and optimal bandwidth", "WLR-optimal", VANILLA),
    ("WLR selection, bandwidth being optimal", "WLR-optimal", "top-2-optimal"),
    ("greedy selection alone", "greedy-equal", VANILLA),
    ("greedy selection and optimal bandwidth", "greedy-optimal", VANILLA),
    ("greedy selection, bandwidth being optimal", "greedy-optimal", "top-2-optimal"),
    ("priced selection, bandwidth being optimal", "priced-optimal", "top-2-optimal"),
)


@one_line_errors
def wdmoe_comparison(
    scenario: Annotated[list[str] | None, typer.Option(help="A scenario; may be repeated. All by default.")] = None,
    episodes: Annotated[int, typer.Option(min=2, help="Held-out episodes, the same for every policy.")] = 100,
    share: Annotated[float, typer.Option(help="Share of top-2's relevance that every policy must keep.")] = 0.9,
    output: Annotated[Path, typer.Option(help="Where the rows go.")] = Path("output/wdmoe-comparison.csv"),
    reuse: Annotated[bool, typer.Option("--reuse", help="Tables and picture from the rows in OUTPUT.")] = False,
    document: Annotated[Path | None, typer.Option(help="Also put the tables into this page, as docs/wdmoe.md.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw this PNG.")] = None,
    jobs: Annotated[int, typer.Option(help="Processes for the bounds; -1 is one per core.")] = -1,
) -> None:
    """Block latency of every WDMoE policy against vanilla top-2, split into selection and bandwidth."""
    console = wide_console()
    names = scenario or list(SCENARIOS)
    rows = read_csv(output) if reuse else _evaluate(console, names, episodes, share, jobs)
    if not reuse:
        write_csv(output, rows)
    by_scenario = {name: [row for row in rows if row["scenario"] == name] for name in names}
    missing = [name for name, group in by_scenario.items() if not group]
    if missing:
        raise ValueError(f"{output}: has no rows of scenario {missing[0]!r}")
    count = len({row["seed"] for row in rows})
    tables = {
        f"Block latency, {count} held-out episodes, means and 95 % intervals": latency_cells(by_scenario),
        "Change of block latency in per cent of vanilla top-2's, paired by episode, 95 % intervals": effect_cells(
            by_scenario
        ),
    }
    for title, (headings, body) in tables.items():
        console.print(rich_table(title, headings, body))
    console.print(f"all rows: {output}")
    if document is not None:
        text = "\n".join(f"{title}:\n\n{markdown_table(*table)}" for title, table in tables.items())
        replace_section(document, "wdmoe-comparison", text)
        console.print(f"tables: {document}")
    if picture is not None:
        line_ups = {name: line_up_of(ENV_ID, name) for name in names}
        latency_panels(picture, by_scenario, line_ups, METRIC)
        console.print(f"picture: {picture}")


def _evaluate(console: Console, names: Sequence[str], episodes: int, share: float, jobs: int) -> list[Row]:
    rows: list[Row] = []
    with bar(console) as progress:
        for name in names:
            rows += evaluate_line_up(
                ENV_ID,
                scenario=name,
                seeds=held_out_seeds(episodes),
                jobs=jobs,
                progress=partial(_task, progress, name, episodes),
                relevance_share=share,
            )
    return rows


def _task(progress: Bars, scenario: str, episodes: int, policy: str) -> Callable[[int], None]:
    return progress.task(f"{scenario}: {policy}", episodes)


def latency_cells(by_scenario: dict[str, list[Row]]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells: policies down, scenarios across, each with latency [ms] and relevance."""
    headings = ["policy"]
    for name in by_scenario:
        headings += [f"{name} [ms]", "relevance"]
    groups = {name: by_policy(rows) for name, rows in by_scenario.items()}
    policies = list(dict.fromkeys(policy for group in groups.values() for policy in group))
    body = []
    for policy in policies:
        line = [policy]
        for group in groups.values():
            rows = group.get(policy, [])
            line.append(two_lines(Interval.of([row[METRIC] for row in rows]), ".3f") if rows else "–")
            known = bool(rows) and "relevance" in rows[0]
            line.append(format(Interval.of([row["relevance"] for row in rows]).mean, ".3f") if known else "–")
        body.append(line)
    return headings, body


def effect_cells(by_scenario: dict[str, list[Row]]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells: effects down, scenarios across, in per cent of vanilla top-2's mean latency."""
    body = []
    for label, policy, reference in EFFECTS:
        line = [label]
        for rows in by_scenario.values():
            percent = effect(rows, policy, reference)
            line.append(two_lines(percent, "+.1f"))
        body.append(line)
    return ["change", *(f"{name} [%]" for name in by_scenario)], body


def effect(rows: Sequence[Row], policy: str, reference: str) -> Interval:
    """Paired change of latency from a reference to a policy, in per cent of vanilla top-2's mean."""
    groups = by_policy(rows)
    result: Comparison = next(
        comparison
        for comparison in compare(groups[policy] + groups[reference], reference, METRIC)
        if comparison.policy == policy
    )
    unit = Interval.of([row[METRIC] for row in groups[VANILLA]]).mean / 100
    difference = result.difference
    return Interval(difference.mean / unit, difference.low / unit, difference.high / unit)

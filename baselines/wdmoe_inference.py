"""`python -m baselines wdmoe-inference`: accuracy and latency where WDMoE serves a real classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dmoe_gym.evaluation import Interval, Row
from dmoe_gym.evaluation.table import markdown_table, rich_table, two_lines
from dmoe_gym.evaluation.wdmoe_inference import (
    MARGIN,
    VANILLA,
    Part,
    Results,
    contenders,
    draw_prompts,
    run_contender,
    verdict,
)
from dmoe_gym.io.command_line import bar, one_line_errors, wide_console
from dmoe_gym.io.files import read_csv, replace_section, write_csv
from dmoe_gym.reports.wdmoe_inference_plot import latency_accuracy

Cells = tuple[list[str], list[list[str]]]
PARTS: tuple[Part, ...] = ("validation", "test")


@one_line_errors
def wdmoe_inference(
    repeats: Annotated[int, typer.Option(min=1, help="How often every test input is asked, over other channels.")] = 2,
    output: Annotated[Path, typer.Option(help="Where the rows go.")] = Path("output/wdmoe-inference.csv"),
    resume: Annotated[bool, typer.Option("--resume", help="Keep the rows in OUTPUT and run what is missing.")] = False,
    document: Annotated[
        Path | None, typer.Option(help="Also put the tables into this page, as docs/wdmoe_inference.md.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw this PNG.")] = None,
) -> None:
    """Top-2 with equal bandwidth against WLR and greedy selection with optimal bandwidth: accuracy and latency."""
    console = wide_console()
    rows = _evaluate(console, repeats, output, read_csv(output) if resume and output.exists() else [])
    chosen_on, judged_on = (Results(rows, part) for part in PARTS)
    prompts, digits = len(judged_on.latency[VANILLA]), len(judged_on.accuracy[VANILLA])
    tables = {
        f"Block latency over {prompts} prompts and accuracy over {digits} test digits in every domain, means and 95 % "
        "intervals": main_cells(judged_on),
        f"Change from vanilla top-2 (`{VANILLA}`), paired, 95 % intervals; margin {MARGIN:g} point": change_cells(
            judged_on, ["top-2-optimal", "WLR-equal", "WLR-optimal", "greedy-optimal"]
        ),
        "Selection alone: change from `top-2-optimal`, paired, 95 % intervals": change_cells(
            judged_on, ["WLR-optimal", "greedy-optimal"], "top-2-optimal"
        ),
        f"The fastest share that loses at most {MARGIN:g} point on validation inputs, judged on test inputs": (
            change_cells(judged_on, [chosen_on.fastest_within(family) for family in ("WLR-optimal", "greedy-optimal")])
        ),
    }
    for title, (headings, body) in tables.items():
        console.print(rich_table(title, headings, body))
    statement = claim(judged_on)
    console.print(statement, highlight=False, markup=False)
    console.print(f"all rows: {output}")
    if document is not None:
        text = "\n".join(f"{title}:\n\n{markdown_table(*table)}" for title, table in tables.items())
        replace_section(document, "wdmoe-inference", f"{statement}\n\n{text}")
    if picture is not None:
        latency_accuracy(picture, judged_on)


def _evaluate(console: Console, repeats: int, output: Path, rows: list[Row]) -> list[Row]:
    """The rows given and those that are missing; the file is written whole after every contender."""
    with bar(console) as progress:
        for part in PARTS:
            # validation inputs choose a share, test inputs judge it
            prompts = draw_prompts(part, repeats if part == "test" else 1)
            tick = progress.task(f"{part} inputs", len(contenders()))
            done = {row["policy"] for row in rows if row["inputs"] == part}
            for contender in contenders():
                if contender.name not in done:
                    rows += run_contender(contender, prompts)
                    write_csv(output, rows)
                tick(1)
    return rows


def main_cells(results: Results) -> Cells:
    """Headings and cells: policies down; latency, accuracy, relevance."""
    body = [
        [
            name,
            two_lines(Interval.of(results.latency[name]), ".3f"),
            two_lines(Interval.of(results.accuracy[name]), ".2f"),
            format(float(results.relevance[name].mean()), ".3f"),
        ]
        for name in results.latency
    ]
    return ["policy", "block latency [ms]", "accuracy [%]", "relevance"], body


def change_cells(results: Results, policies: list[str], reference: str = VANILLA) -> Cells:
    """Headings and cells: policies down; changes of latency and accuracy, and what they say of the claim."""
    body = []
    for name in policies:
        latency, accuracy = results.faster(name, reference), results.accuracy_change(name, reference)
        body.append([name, two_lines(latency, "+.1f"), two_lines(accuracy, "+.2f"), verdict(latency, accuracy)])
    headings = ["policy", "latency [%]", "accuracy [points]", "faster without loss"]
    return headings, body


def claim(results: Results) -> str:
    """The abstract's claim and what this experiment says of it."""
    latency, accuracy = (change("WLR-optimal") for change in (results.faster, results.accuracy_change))
    return (
        '"Reduce the latency without compromising performance" (abstract of arXiv 2411.06681), here for WLR selection '
        f"with optimal bandwidth against vanilla top-2 with equal bandwidth at a margin of {MARGIN:g} point: "
        f"**{verdict(latency, accuracy)}**. Latency {latency:+.1f} %, accuracy {accuracy:+.2f} points."
    )

"""`python -m agents.importance`: learn how important each layer and hidden state is, and report what that saves."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import yaml

from agents.importance.evolution import EvolutionConfig, Generation, evolve
from agents.importance.report import learned_rows, saving_cells
from agents.run_folder import provenance
from dmoe_gym.command_line import bar, one_line_errors, wide_console
from dmoe_gym.evaluation.inference import read_rows
from dmoe_gym.evaluation.markdown import markdown_table
from dmoe_gym.evaluation.table import rich_table
from dmoe_gym.files import read_csv, replace_section, write_csv, write_json
from dmoe_gym.reports.inference_plots import pareto

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


@app.command()
@one_line_errors
def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML file, as configs/importance_inference.yaml.")],
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed of the recipe; may be repeated.")] = None,
    runs: Annotated[Path, typer.Option(help="Root of the run folders.")] = Path("runs"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace finished runs.")] = False,
) -> None:
    """Train a recipe's seeds on training inputs, a minute or two each on one core."""
    console = wide_console()
    config = EvolutionConfig(**(yaml.safe_load(recipe.read_text()) or {}))
    for one in seed or config.seeds:
        folder = runs / "inference" / f"{recipe.stem}-seed{one}"
        if (folder / "parameters.json").exists() and not overwrite:
            raise ValueError(f"{folder}: holds a finished run already; --overwrite replaces it")
        curve: list[Generation] = []
        with bar(console) as progress:
            tick = progress.task(f"seed {one}", config.generations)

            def report(generation: Generation, curve: list[Generation] = curve, tick=tick) -> None:
                curve.append(generation)
                tick(1)

            parameters = evolve(config, one, report)
        write_json(folder / "provenance.json", {**provenance(one), "config": config.model_dump()})
        write_csv(folder / "curve.csv", [asdict(generation) for generation in curve])
        write_json(folder / "parameters.json", parameters.tolist())
        console.print(f"{folder}: trained")


@app.command()
@one_line_errors
def report(
    run: Annotated[list[Path], typer.Argument(help="Run folders of one recipe.")],
    rows: Annotated[Path, typer.Option(help="What `python -m baselines inference` wrote.")] = Path("output/inference"),
    output: Annotated[Path, typer.Option(help="Where the rows go.")] = Path("output/inference-learned.csv"),
    reuse: Annotated[bool, typer.Option("--reuse", help="Tables and picture from the rows in OUTPUT.")] = False,
    document: Annotated[
        Path | None, typer.Option(help="Also put the table into this page, as docs/inference.md.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw the Pareto plot as this PNG.")] = None,
) -> None:
    """Energy at the accuracy of JESA with its best (z, gamma): every seed, chosen on validation, judged on test."""
    console = wide_console()
    known = read_rows(rows)
    if not reuse:
        learned = []
        with bar(console) as progress:
            tick = progress.task("seeds", len(run))
            for folder in run:
                parameters = np.array(json.loads((folder / "parameters.json").read_text()), float)
                learned += learned_rows(folder.name, parameters, known)
                tick(1)
        write_csv(output, learned)
    learned = read_csv(output)
    headings, body = saving_cells(learned, known)
    title = "Learned importance against JESA, test inputs, paired by episode, 95 % intervals"
    console.print(rich_table(title, headings, body))
    if document is not None:
        replace_section(document, "inference-learned", f"{title}:\n\n{markdown_table(headings, body)}")
    if picture is not None:
        test = [row for row in [*known, *learned] if row["inputs"] == "test"]
        pareto(picture, test, {})


if __name__ == "__main__":
    app(prog_name="python -m agents.importance")

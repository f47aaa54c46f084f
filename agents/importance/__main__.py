"""`python -m agents.importance`: learn which experts each hidden state of each layer needs, and what that saves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
import yaml

from agents.importance.report import learned_rows, saving_cells
from agents.importance.storage import load_network, save_network
from agents.importance.training import ImportanceConfig, train_selection
from dmoe_gym.command_line import bar, one_line_errors, wide_console
from dmoe_gym.evaluation.inference import read_rows
from dmoe_gym.evaluation.markdown import markdown_table
from dmoe_gym.evaluation.table import rich_table
from dmoe_gym.files import replace_section, write_csv, write_json
from dmoe_gym.provenance import provenance
from dmoe_gym.reports.inference_plots import pareto

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
MODEL = "selection.safetensors"


@app.command()
@one_line_errors
def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML file, as configs/importance/digits.yaml.")],
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed of the recipe; may be repeated.")] = None,
    runs: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("runs/inference"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace finished runs.")] = False,
) -> None:
    """Train a recipe's seeds on training inputs, a few minutes each on one core."""
    console = wide_console()
    config = ImportanceConfig(**(yaml.safe_load(recipe.read_text()) or {}))
    for one in seed or config.seeds:
        command = f"python -m agents.importance train {recipe} --seed {one}"
        folder = runs / f"{recipe.stem}-seed{one}"
        if (folder / MODEL).exists() and not overwrite:
            raise ValueError(f"{folder}: holds a finished run already; --overwrite replaces it")
        curve: list[dict[str, float]] = []
        with bar(console) as progress:
            tick = progress.task(f"seed {one}", config.epochs)

            def keep(epoch: dict[str, float], curve: list = curve, tick: Callable[[int], None] = tick) -> None:
                curve.append(epoch)
                tick(1)

            network = train_selection(config, one, keep)
        write_json(folder / "provenance.json", {**provenance(command), "seed": one, "config": config.model_dump()})
        write_csv(folder / "curve.csv", [{"epoch": number, **epoch} for number, epoch in enumerate(curve, 1)])
        save_network(folder / MODEL, config, network)
        console.print(f"{folder}: trained")


@app.command()
@one_line_errors
def report(
    run: Annotated[list[Path], typer.Argument(help="Run folders of one recipe.")],
    rows: Annotated[Path, typer.Option(help="Folder of `python -m baselines inference`.")] = Path("output/inference"),
    output: Annotated[
        Path, typer.Option(help="Folder of the rows; finished files of the same episodes are not repeated.")
    ] = Path("output/inference-learned"),
    document: Annotated[
        Path | None, typer.Option(help="Also put the table into this page, as docs/inference.md.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw the Pareto plot as this PNG.")] = None,
) -> None:
    """Energy at the accuracy of JESA with its best (z, gamma): every seed, chosen on validation, judged on test."""
    console = wide_console()
    known = read_rows(rows)
    learned = []
    with bar(console) as progress:
        tick = progress.task("seeds", len(run))
        for folder in run:
            learned += learned_rows(output, folder.name, load_network(folder / MODEL), known)
            tick(1)
    headings, body = saving_cells(learned, known)
    title = "Learned selection against JESA, test inputs, paired by episode, 95 % intervals"
    console.print(rich_table(title, headings, body))
    if document is not None:
        replace_section(document, "inference-learned", f"{title}:\n\n{markdown_table(headings, body)}")
    if picture is not None:
        pareto(picture, [row for row in [*known, *learned] if row["inputs"] == "test"])


if __name__ == "__main__":
    app(prog_name="python -m agents.importance")

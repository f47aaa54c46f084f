"""`python -m agents.importance`: learn which experts each hidden state of each layer needs, and what that saves."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer
import yaml

from agents.importance.report import Run, equal_accuracy_cells, rows_of, saving_cells
from agents.importance.storage import load_network, save_network
from agents.importance.training import ImportanceConfig, train_selection
from agents.importance.validation import (
    GRID,
    PRICES,
    jesa_outcomes,
    out_of_fold_outcomes,
    validation_questions,
)
from dmoe_gym.evaluation import Row
from dmoe_gym.evaluation.inference import contender_rows, read_rows
from dmoe_gym.evaluation.markdown import markdown_table
from dmoe_gym.evaluation.table import rich_table
from dmoe_gym.io.command_line import bar, one_line_errors, wide_console
from dmoe_gym.io.files import read_csv, replace_section, write_csv, write_json
from dmoe_gym.io.provenance import provenance
from dmoe_gym.reports.inference_plots import pareto

RULE = (
    "Learned selection against JESA with its best (z, gamma) by the rule, test inputs, paired by episode, "
    "95 % intervals"
)
SECOND_VIEW = (
    "Second view, a measurement and no choice: every seed's curve over prices on the same test episodes, energy where "
    "it meets JESA's accuracy there, 95 % intervals by a crossed bootstrap over seeds and episodes"
)
app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
MODEL, VALIDATION = "selection.safetensors", "validation.csv"


@app.command()
@one_line_errors
def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML file, as configs/importance/digits.yaml.")],
    seed: Annotated[list[int] | None, typer.Option(help="Only this seed of the recipe; may be repeated.")] = None,
    runs: Annotated[Path, typer.Option(help="Where run folders go.")] = Path("runs/inference"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace finished runs.")] = False,
) -> None:
    """Train a recipe's seeds on validation images by cross-fitting, a few minutes each on one core."""
    console = wide_console()
    config = ImportanceConfig(**(yaml.safe_load(recipe.read_text()) or {}))
    for one in seed or config.seeds:
        command = f"python -m agents.importance train {recipe} --seed {one}"
        folder = runs / f"{recipe.stem}-seed{one}"
        if (folder / MODEL).exists() and not overwrite:
            raise ValueError(f"{folder}: holds a finished run already; --overwrite replaces it")
        curve: list[dict[str, float]] = []
        with bar(console) as progress:
            tick = progress.task(f"seed {one}", config.steps)

            def keep(step: dict[str, float], curve: list = curve, tick: Callable[[int], None] = tick) -> None:
                curve.append(step)
                tick(1)

            network = train_selection(config, one, keep)
        outcomes = out_of_fold_outcomes(validation_questions(config.scenario), config, one, network)
        write_json(folder / "provenance.json", {**provenance(command), "seed": one, "config": config.model_dump()})
        write_csv(folder / "curve.csv", [{"step": number, **step} for number, step in enumerate(curve, 1)])
        write_csv(folder / VALIDATION, outcomes)
        save_network(folder / MODEL, config, network)
        console.print(f"{folder}: trained")


@app.command()
@one_line_errors
def jesa(
    output: Annotated[Path, typer.Option(help="Where the rows go.")] = Path("output/inference-learned/jesa.csv"),
    scenario: Annotated[str, typer.Option(help="A scenario of DMoE-Inference-v0.")] = "digits",
) -> None:
    """JESA over z and gamma on every validation input on every node: what `report` takes its references from."""
    with bar(wide_console()) as progress:
        tick = progress.task("z and gamma", len(GRID))
        write_csv(output, jesa_outcomes(validation_questions(scenario), tick=tick))


@app.command()
@one_line_errors
def report(
    run: Annotated[list[Path], typer.Argument(help="Run folders of one recipe.")],
    rows: Annotated[Path, typer.Option(help="Folder of `python -m baselines inference`.")] = Path("output/inference"),
    references: Annotated[Path, typer.Option(help="File of `python -m agents.importance jesa`.")] = Path(
        "output/inference-learned/jesa.csv"
    ),
    output: Annotated[
        Path, typer.Option(help="Folder of the rows; those of the same network and episodes are not repeated.")
    ] = Path("output/inference-learned/rows"),
    document: Annotated[
        Path | None, typer.Option(help="Also put the tables into this page, as docs/inference.md.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw the Pareto plot as this PNG.")] = None,
) -> None:
    """Energy at the accuracy of JESA with its best (z, gamma): every seed at the price that the rule chose on
    validation inputs, judged on test inputs; and, as a second view, its whole curve over prices on test inputs.
    """
    console = wide_console()
    known = read_rows(rows)
    reference = min(read_csv(references), key=lambda row: row["cost"])
    base = rows_of(known, str(reference["policy"]), "test")
    episodes = [int(row["seed"]) for row in base]
    seeds = [Run(folder.name, load_network(folder / MODEL)[1], read_csv(folder / VALIDATION)) for folder in run]
    curves: list[dict[float, list[Row]]] = []
    with bar(console) as progress:
        tick = progress.task("seeds x prices", len(seeds) * len(PRICES))
        for folder, each in zip(run, seeds, strict=True):
            # by content: another training of the same name and price has rows of its own
            kept = output / sha256((folder / MODEL).read_bytes()).hexdigest()[:12]
            curves.append({})
            for price in PRICES:
                curves[-1][price] = contender_rows(kept, each.at(price), "test", episodes)
                tick(1)
    chosen = [curve[each.price(reference)] for each, curve in zip(seeds, curves, strict=True)]
    titles = [RULE, SECOND_VIEW]
    tables = [
        saving_cells(seeds, reference, chosen, base),
        equal_accuracy_cells(seeds, [[curve[price] for price in PRICES] for curve in curves], base),
    ]
    for title, cells in zip(titles, tables, strict=True):
        console.print(rich_table(title, *cells))
    if document is not None:
        shown = (f"{title}:\n\n{markdown_table(*cells)}" for title, cells in zip(titles, tables, strict=True))
        replace_section(document, "inference-learned", "\n".join(shown))
    if picture is not None:
        test = [row for row in known if row["inputs"] == "test"]
        pareto(picture, [*test, *(row for rows_ in chosen for row in rows_)])


if __name__ == "__main__":
    app(prog_name="python -m agents.importance")

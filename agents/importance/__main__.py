"""`python -m agents.importance`: learn which experts each hidden state of each layer needs, and what that saves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
import yaml

from agents.importance.network import together
from agents.importance.report import Run, rows_of, saving_cells
from agents.importance.storage import load_network, save_network
from agents.importance.training import ImportanceConfig, Trained, train_selection
from agents.importance.validation import (
    GRID,
    jesa_outcomes,
    out_of_fold_outcomes,
    validation_questions,
)
from dmoe_gym.command_line import bar, one_line_errors, wide_console
from dmoe_gym.evaluation.inference import contender_rows, read_rows
from dmoe_gym.evaluation.markdown import markdown_table
from dmoe_gym.evaluation.table import rich_table
from dmoe_gym.files import read_csv, replace_section, write_csv, write_json
from dmoe_gym.provenance import provenance
from dmoe_gym.reports.inference_plots import pareto

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
        outcomes = out_of_fold_outcomes(validation_questions(config.scenario), [Trained(config, one, network)])
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
        Path, typer.Option(help="Folder of the rows; finished files of the same episodes are not repeated.")
    ] = Path("output/inference-learned/rows"),
    document: Annotated[
        Path | None, typer.Option(help="Also put the tables into this page, as docs/inference.md.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw the Pareto plot as this PNG.")] = None,
    as_one: Annotated[
        bool, typer.Option("--as-one", help="Also judge all members of all seeds as one scheduler; minutes more.")
    ] = False,
) -> None:
    """Energy at the accuracy of JESA with its best (z, gamma): every seed, chosen on validation, judged on test."""
    console = wide_console()
    known = read_rows(rows)
    reference = min(read_csv(references), key=lambda row: row["cost"])
    base = rows_of(known, str(reference["policy"]), "test")
    episodes = [int(row["seed"]) for row in base]
    trained = [_trained(folder) for folder in run]
    seeds = [
        Run(folder.name, each.network, read_csv(folder / VALIDATION)) for folder, each in zip(run, trained, strict=True)
    ]
    kept = output.parent / f"together-{'-'.join(folder.name for folder in run)}.csv"
    judged = [*seeds, _everyone(kept, trained)] if as_one else seeds
    own = []
    with bar(console) as progress:
        tick = progress.task("schedulers", len(judged))
        for each in judged:
            own.append(contender_rows(output, each.at(each.price(reference)), "test", episodes))
            tick(1)
    headings, body = saving_cells(judged, len(seeds), reference, own, base)
    title = "Learned selection against JESA with its best (z, gamma), test inputs, paired by episode, 95 % intervals"
    console.print(rich_table(title, headings, body))
    if document is not None:
        replace_section(document, "inference-learned", f"{title}:\n\n{markdown_table(headings, body)}")
    if picture is not None:
        test = [row for row in known if row["inputs"] == "test"]
        pareto(picture, [*test, *(row for rows_ in own for row in rows_)])


def _trained(folder: Path) -> Trained:
    """A run folder's network."""
    config, network = load_network(folder / MODEL)
    return Trained(config, json.loads((folder / "provenance.json").read_text())["seed"], network)


def _everyone(path: Path, trained: list[Trained]) -> Run:
    """All members of all seeds as one scheduler; its rows on validation inputs are kept."""
    name = f"all {sum(each.network.members for each in trained)} members as one"
    if not path.exists():
        write_csv(path, out_of_fold_outcomes(validation_questions(trained[0].config.scenario), trained))
    return Run(name, together([each.network for each in trained]), read_csv(path))


if __name__ == "__main__":
    app(prog_name="python -m agents.importance")

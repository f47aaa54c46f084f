"""`python -m agents.importance`: learn which experts each hidden state of each layer needs, and what that saves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
import yaml

from agents.importance.network import together
from agents.importance.report import Run, chosen_prices, learned_rows, reference_cells, rows_of, seed_cells
from agents.importance.storage import load_network, save_network
from agents.importance.training import ImportanceConfig, Trained, train_selection
from agents.importance.validation import (
    GRID,
    best_of_every_gamma,
    jesa_outcomes,
    out_of_fold_outcomes,
    validation_questions,
)
from dmoe_gym.command_line import bar, one_line_errors, wide_console
from dmoe_gym.evaluation.inference import read_rows
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
) -> None:
    """Energy at the accuracy of JESA with its best (z, gamma): every seed, chosen on validation, judged on test."""
    console = wide_console()
    known = read_rows(rows)
    best = best_of_every_gamma(read_csv(references))
    trained = [_trained(folder) for folder in run]
    seeds = [
        Run(folder.name, each.network, read_csv(folder / VALIDATION)) for folder, each in zip(run, trained, strict=True)
    ]
    everyone = _everyone(output.parent / f"together-{'-'.join(folder.name for folder in run)}.csv", trained)
    results = []
    with bar(console) as progress:
        tick = progress.task("references", len(best))
        for reference in best:
            base = rows_of(known, str(reference["policy"]), "test")
            prices = chosen_prices(seeds, reference)
            own = learned_rows(output, seeds, prices, "test", [int(row["seed"]) for row in base])
            results.append((reference, prices, own, base))
            tick(1)
        reference, prices, own, base = results[0]
        price = chosen_prices([everyone], reference)
        (pooled,) = learned_rows(output, [everyone], price, "test", [int(row["seed"]) for row in base])
    tables = {
        "Learned selection against JESA with its best (z, gamma), test inputs, paired by episode, 95 % intervals": (
            seed_cells(seeds, prices, own, base, (everyone.name, price[0], pooled))
        ),
        "All seeds against the best z of every gamma, by the same rule": reference_cells(
            [(reference, own, base) for reference, _, own, base in results]
        ),
    }
    for title, (headings, body) in tables.items():
        console.print(rich_table(title, headings, body))
    if document is not None:
        text = "\n".join(f"{title}:\n\n{markdown_table(*table)}" for title, table in tables.items())
        replace_section(document, "inference-learned", text)
    if picture is not None:
        learned = {row["policy"]: each for _, _, own, _ in results for each in own for row in each[:1]}
        test = [row for row in known if row["inputs"] == "test"]
        pareto(picture, [*test, *(row for each in learned.values() for row in each)])


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

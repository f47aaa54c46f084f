"""`python -m dmoe_gym.models.language.train`: train the shipped language model, or show what it can do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.table import Table
from safetensors.torch import load_file

from dmoe_gym.io.command_line import one_line_errors, wide_console
from dmoe_gym.io.files import replace_section
from dmoe_gym.models.causal.folder import load_folder
from dmoe_gym.models.causal.layers import LayeredModel
from dmoe_gym.models.language.accuracy import Rule, answers, best, starved
from dmoe_gym.models.language.families import FAMILIES
from dmoe_gym.models.language.network import build
from dmoe_gym.models.language.source import SHIPPED
from dmoe_gym.models.language.training import Trainer, Training
from dmoe_gym.models.pictures import draw_gate_scores


@one_line_errors
def main(
    folder: Annotated[
        Path, typer.Option(help="Log and checkpoints of the training; one that was interrupted goes on.")
    ] = Path("runs/language"),
    output: Annotated[Path, typer.Option(help="Where the model goes, a folder as transformers saves it.")] = SHIPPED,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT if it exists.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Train nothing: table and picture of OUTPUT.")] = False,
    queries: Annotated[int, typer.Option(min=10, help="Test queries of the table.")] = 20_000,
    document: Annotated[Path | None, typer.Option(help="Also put the table into this page.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw the gate scores by family and expert as PNG.")] = None,
) -> None:
    """Train the language model on generated queries; about half an hour on one core of its own."""
    console = wide_console()
    torch.set_num_threads(1)
    if not show:
        if (output / "model.safetensors").exists() and not overwrite:
            raise ValueError(f"output = {str(output)!r}: holds a model already; pass --overwrite to replace it")
        Trainer(folder, Training()).run(console.print)
        export(folder / "best.safetensors", output)
    model = load_folder(output, "float32")
    headings, body, scores = accuracy_cells(model, queries)
    table = Table(*headings, title=f"Exact answers [%] on {queries} test queries")
    for line in body:
        table.add_row(*line)
    console.print(table)
    if document is not None:
        lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *body]
        replace_section(document, "language-model", "\n".join(f"| {' | '.join(line)} |" for line in lines))
    if picture is not None:
        draw_gate_scores(picture, scores, list(FAMILIES))


def export(weights: Path, output: Path) -> None:
    """Save weights as transformers does, in 16 bit."""
    model = build()
    model.load_state_dict(load_file(weights), strict=False)
    model.half().save_pretrained(output)
    (output / "generation_config.json").unlink(missing_ok=True)


def accuracy_cells(model: LayeredModel, queries: int) -> tuple[list[str], list[list[str]], np.ndarray]:
    """Exact answers [%] per rule and family, and mean gate scores (L, families, K) where the two best are heard."""
    rules: dict[str, Rule] = {
        **{f"top-{count}": best(count) for count in (1, 2, 3)},
        "all experts": best(model.experts),
        **{f"layer {layer} starved": starved(layer) for layer in range(1, model.layers + 1)},
    }
    body, kept = [], np.zeros(0)
    for name, rule in rules.items():
        shares, scores = answers(model, "test", queries, rule)
        if name == "top-2":
            kept = scores
        body.append([name, *(f"{100 * share:.1f}" for share in shares), f"{100 * shares.mean():.1f}"])
    return ["heard", *FAMILIES, "all families"], body, kept


if __name__ == "__main__":
    typer.run(main)

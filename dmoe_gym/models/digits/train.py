"""`python -m dmoe_gym.models.digits.train`: train the shipped classifier or check its file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from dmoe_gym.io.command_line import one_line_errors, wide_console
from dmoe_gym.io.files import replace_section, write_whole
from dmoe_gym.models.digits.config import ClassifierConfig
from dmoe_gym.models.digits.domains import DOMAINS
from dmoe_gym.models.digits.forward import Rule, accuracy, best_experts, every_expert, infer
from dmoe_gym.models.digits.inputs import load_inputs
from dmoe_gym.models.digits.model import InferenceModel
from dmoe_gym.models.digits.training import train
from dmoe_gym.models.digits.weights import SHIPPED, read_weights, to_bytes
from dmoe_gym.models.pictures import draw_gate_scores

RULES: dict[str, Rule] = {
    "top-1": best_experts(1),
    "top-2": best_experts(2),
    "top-3": best_experts(3),
    "all experts": every_expert,
}


@one_line_errors
def main(
    output: Annotated[Path, typer.Option(help="Where the model goes.")] = SHIPPED,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT if it exists.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Train, compare with OUTPUT bit for bit, write no model.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Train nothing: table and picture of OUTPUT.")] = False,
    document: Annotated[
        Path | None, typer.Option(help="Also put the table into this page, as docs/inference.md.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw the gate scores by domain and expert as PNG.")] = None,
) -> None:
    """Train the classifier of multi-domain digits; a few minutes on one core."""
    console = wide_console()
    if not (check or show or overwrite) and output.exists():
        raise ValueError(
            f"output = {str(output)!r}: exists already; pass --overwrite to replace it, --check to compare"
        )
    if show:
        config, weights = read_weights(output)
    else:
        config = ClassifierConfig()
        weights = train(config, progress=console.is_terminal)
    if check:
        if to_bytes(config, weights) != output.read_bytes():
            raise ValueError(f"output = {str(output)!r}: training gives other weights than the file holds")
        console.print(f"training gives {output} bit for bit")
    elif not show:
        write_whole(output, to_bytes(config, weights))
        console.print(f"model: {output}, {output.stat().st_size / 1e6:.2f} MB")
    model = InferenceModel(config, weights)
    headings, body = accuracy_cells(model)
    table = Table(*headings, title="Accuracy [%] on test inputs, every selected expert heard")
    for line in body:
        table.add_row(*line)
    console.print(table)
    if document is not None:
        lines = [headings, ["---"] * len(headings), *body]
        replace_section(document, "inference-model", "\n".join(f"| {' | '.join(line)} |" for line in lines))
    if picture is not None:
        _, scores = infer(model, load_inputs("test").patches, best_experts(2))
        draw_gate_scores(picture, scores.mean((2, 3)), list(DOMAINS))


def accuracy_cells(model: InferenceModel) -> tuple[list[str], list[list[str]]]:
    """Accuracy [%] on test inputs per rule and domain, and the mean's standard error over images."""
    inputs = load_inputs("test")
    body = []
    for name, rule in RULES.items():
        shares = accuracy(model, inputs, rule)
        body.append([name, *(f"{100 * share:.1f}" for share in shares), f"{100 * shares.mean():.1f}"])
    return ["experts", *DOMAINS, "all domains"], body


if __name__ == "__main__":
    typer.run(main)

"""`python -m experiments train-language`: train the language model that the package ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from dmoe_gym.io.command_line import one_line_errors, wide_console
from dmoe_gym.io.files import read_tensors
from dmoe_gym.models.language.training import Trainer, Training, build
from dmoe_gym.models.reproducible import one_thread


@one_line_errors
def train_language(
    out: Annotated[Path, typer.Option(help="Where the model goes, a folder as transformers saves it.")],
    folder: Annotated[
        Path, typer.Option(help="Log and checkpoints of the training; one that was interrupted goes on.")
    ] = Path("runs/language"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Train on generated queries, on one thread; `python -m experiments run language-model` shows what it learned."""
    if (out / "model.safetensors").exists() and not overwrite:
        raise ValueError(f"out = {str(out)!r}: holds a model already; pass --overwrite to replace it")
    console = wide_console()
    with one_thread():
        Trainer(folder, Training()).run(console.print)
    export(folder / "best.safetensors", out)
    console.print(f"model: {out}")


def export(weights: Path, output: Path) -> None:
    """Save weights as transformers does, in 16 bit."""
    model = build()
    _, arrays = read_tensors(weights)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()}, strict=False)
    model.half().save_pretrained(output)
    (output / "generation_config.json").unlink(missing_ok=True)

"""Two-stage training of one gated model: `python -m dmoe_gym train-gating`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dmoe_gym.gating.config import SNRDistribution
from dmoe_gym.gating.data import load_split
from dmoe_gym.gating.evaluation import evaluate_accuracy
from dmoe_gym.gating.scenarios import TRANSMISSIONS, transmission_of, tuned_config
from dmoe_gym.gating.training import train_two_stage
from dmoe_gym.io.command_line import one_line_errors, overrides_of, wide_console


@one_line_errors
def train_gating(
    out: Annotated[Path, typer.Option(help="File for weights and configuration.")] = Path(
        "runs/gating/model.safetensors"
    ),
    log_dir: Annotated[Path | None, typer.Option(help="TensorBoard folder; beside the file by default.")] = None,
    dataset: Annotated[str, typer.Option(help="digits, cifar10 or cifar100.")] = "digits",
    data_root: Annotated[Path | None, typer.Option(help="Folder that holds CIFAR; nothing is downloaded.")] = None,
    gate: Annotated[str, typer.Option(help="naive, channel_aware, best_snr or random.")] = "channel_aware",
    transmission: Annotated[str, typer.Option(help=f"One of {', '.join(TRANSMISSIONS)}.")] = "analog",
    seed: Annotated[int, typer.Option(min=0, help="Of split, weights, SNRs and noise.")] = 0,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", help="A field of GatingConfig, e.g. --set backbone=resnet18. Repeatable."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
) -> None:
    """Train backbone, gate and experts in two stages, say the accuracy on validation images, and keep the weights."""
    if out.exists() and not overwrite:
        raise ValueError(f"out = {str(out)!r}: exists already; pass --overwrite to replace it")
    channel = transmission_of(transmission)
    # the configuration checks the names
    config = tuned_config(dataset, transmission, gate, **overrides_of(override or []))  # type: ignore[arg-type]
    data = load_split(dataset, data_root, seed)  # type: ignore[arg-type]
    logs = log_dir or out.parent
    model = train_two_stage(data, config, transmission=channel, seed=seed, log_dir=logs, progress=True)
    model.save(out, overwrite)
    console = wide_console()
    for label, snr in (("perfect channels", None), ("SNRs of mean 0 dB, spread 6 dB", SNRDistribution())):
        accuracy = evaluate_accuracy(model, data.validation, transmission=channel, snr=snr, seed=seed)
        console.print(f"validation accuracy, {label}: {100 * accuracy:.1f} %", highlight=False)
    console.print(f"weights: {out}", highlight=False)
    console.print(f"tensorboard --logdir {logs}", highlight=False)

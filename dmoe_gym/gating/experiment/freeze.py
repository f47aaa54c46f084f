"""Trains the networks that the package ships: `python -m dmoe_gym.gating.experiment.freeze`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from dmoe_gym.gating.config import GatingConfig
from dmoe_gym.gating.data import load_digits_split
from dmoe_gym.gating.experiment.sweep import TUNED
from dmoe_gym.gating.frozen import SHIPPED, WEIGHTS
from dmoe_gym.gating.training import train_gate, train_two_stage
from dmoe_gym.gating.transmission import Analog, Digital
from dmoe_gym.io.command_line import one_line_errors

TRANSMISSIONS: dict[str, Analog | Digital] = {"digits_analog": Analog(), "digits_digital": Digital()}


@one_line_errors
def main(
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = WEIGHTS,
    name: Annotated[list[str] | None, typer.Option(help="Only these networks; may be repeated.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; say whether the files there are the same.")
    ] = False,
) -> None:
    """Train the shipped networks, each with its channel-aware gate and a naive gate for the same experts (seed 0)."""
    if not check:
        _freeze(out, name, overwrite)
        return
    with TemporaryDirectory() as folder:
        _freeze(Path(folder), name, False)
        for made in sorted(Path(folder).iterdir()):
            kept = out / made.name
            if not kept.is_file() or kept.read_bytes() != made.read_bytes():
                raise ValueError(f"{kept}: differs from what this machine trains")
            print(f"{kept}: the same bits")


def _freeze(out: Path, name: list[str] | None, overwrite: bool) -> None:
    data = load_digits_split(0)
    for networks in name or SHIPPED:
        if networks not in TRANSMISSIONS:
            raise ValueError(f"name = {networks!r}: valid are {', '.join(SHIPPED)}")
        transmission = TRANSMISSIONS[networks]
        config = GatingConfig().replace(**TUNED[transmission.kind, "channel_aware"])
        model = train_two_stage(data, config, transmission=transmission, progress=True)
        model.save(out / f"{networks}.safetensors", overwrite)
        naive = train_gate(model, "naive", data, transmission, progress=True)
        naive.save(out / f"{networks}_naive.safetensors", overwrite)


if __name__ == "__main__":
    typer.run(main)

"""What recorders share: the software that a recording names, and how it is kept."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

import dmoe_gym
from dmoe_gym.relevance import Trace, write_trace

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")]


def versions(*packages: str) -> str:
    """This library's version and those of installed packages, as "dmoe_gym 0.1.0, numpy 2.4.6"."""
    own = f"dmoe_gym {dmoe_gym.__version__}"  # runs from a checkout too, where it is not installed
    return ", ".join([own, *(f"{package} {version(package)}" for package in packages)])


def keep(trace: Trace, out: Path, overwrite: bool) -> None:
    """Write a trace and say what it holds.

    Raises:
        FileExistsError: if the file is there and not to be replaced.
    """
    write_trace(trace, out, overwrite=overwrite)
    layers, tokens, experts = trace.gate_scores.shape
    typer.echo(f"{out}: {layers} layers, {tokens} tokens, {experts} experts, {out.stat().st_size:,} bytes")

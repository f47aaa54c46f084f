"""Commands that record the gate scores of real models into trace files, and what they share."""

# annotations are values here, not text: typer reads those of `record_command`

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

import dmoe_gym
from dmoe_gym.io.command_line import one_line_errors
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


def record_command(
    record: Callable[[Any, int, int], Trace], about: str, counted: str, count: int
) -> Callable[..., None]:
    """A command that records a model of this project.

    Args:
        record: from the part of the inputs, how many of them per domain, and the experts that a hidden state hears.
        about: a sentence for its help.
        counted: what the inputs are called, in the plural; count: how many, by default.
    """

    def recorded(
        out: Annotated[Path, typer.Option(help="The trace file.")],
        part: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
        number: Annotated[int, typer.Option(f"--{counted}", help=f"{counted.title()} per domain.")] = count,
        experts: Annotated[int, typer.Option(help="Experts that every hidden state hears.")] = 2,
        overwrite: Overwrite = False,
    ) -> None:
        keep(record(part, number, experts), out, overwrite)

    recorded.__doc__ = about
    return one_line_errors(recorded)

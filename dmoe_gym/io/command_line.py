"""What the suite's commands share: one-line errors, overrides, progress bars."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dmoe_gym.io.yaml_file import parse_yaml

# What a command exits with after bad input.
BAD_INPUT = 2


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Say bad input, a missing file or an interrupt in one line instead of a traceback."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except (ValueError, OSError, ImportError, TimeoutError) as error:
            Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {error}", markup=False)
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt as interrupt:
            told = str(interrupt) or "finished files are whole, unfinished ones were not written"
            Console(stderr=True, soft_wrap=True, highlight=False).print(f"interrupted: {told}", markup=False)
            raise typer.Exit(130) from None

    return run


def overrides_of(assignments: Sequence[str]) -> dict[str, Any]:
    """Read key=value pairs, values as YAML: threshold=0.6, channel={kind: gauss_markov, doppler_hz: 20}.

    Raises:
        ValueError: for an assignment without "=" or a value that is no YAML.
    """
    overrides = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise ValueError(f"--set {assignment!r}: valid is FIELD=VALUE")
        try:
            overrides[key] = parse_yaml(value)
        except ValueError as error:
            raise ValueError(f"--set {assignment!r}: the value {error}") from None
    return overrides


def named_objects(assignments: Sequence[str]) -> dict[str, Any]:
    """Import what NAME=MODULE:OBJECT pairs name, with the current folder on the path.

    Raises:
        ValueError: for an assignment of another form, or an object that the module has not.
        ImportError: for a module that cannot be imported.
    """
    if assignments and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    objects = {}
    for assignment in assignments:
        name, _, place = assignment.partition("=")
        module, _, attribute = place.partition(":")
        if not (name and module and attribute):
            raise ValueError(f"{assignment!r}: valid is NAME=MODULE:OBJECT")
        try:
            objects[name] = getattr(import_module(module), attribute)
        except AttributeError:
            raise ValueError(f"{assignment!r}: {module} has no {attribute}") from None
    return objects


def wide_console() -> Console:
    """A console on which tables fit: at least 120 columns where the output is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, 120))


class Bars:
    """Progress bars, one per named piece of work."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def task(self, name: str, total: int) -> Callable[[int], None]:
        """A new bar; call what it returns with the number of pieces finished since the last call."""
        task = self._progress.add_task(name, total=total)
        return lambda finished: self._progress.advance(task, finished)


@contextmanager
def bar(console: Console) -> Iterator[Bars]:
    """Progress bars on a terminal; they vanish when the work is done."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        yield Bars(progress)

"""What the suite's commands share: one-line errors, overrides, progress bars."""

from __future__ import annotations

import os
import shlex
import sys
import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from dmoe_gym.io.extras import needed_for
from dmoe_gym.io.yaml_file import parse_yaml

# What a command exits with after bad input.
BAD_INPUT = 2


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Say bad input, a missing file or an interrupt in one line instead of a traceback."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            with needed_for(f"`{command.__name__}`"):
                command(*arguments, **options)
        except (ValueError, OSError, ImportError, TimeoutError, MemoryError) as error:
            said = str(error) or "there is too little memory"
            Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {said}", markup=False)
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt as interrupt:
            told = str(interrupt) or "finished files are whole, unfinished ones were not written"
            Console(stderr=True, soft_wrap=True, highlight=False).print(f"interrupted: {told}", markup=False)
            raise typer.Exit(130) from None

    return run


def command_at(place: str) -> Callable[..., None]:
    """The command that "module:name" names; where a library is missing, one that says which extra brings it."""
    module, _, name = place.partition(":")
    try:
        with needed_for(f"`{name.removesuffix('_command').replace('_', '-')}`"):
            return getattr(import_module(module), name)
    except ImportError as error:
        missing = str(error)

    @one_line_errors
    def unavailable() -> None:
        """Not at hand: a library is missing."""
        raise ImportError(missing)

    return unavailable


def overrides_of(assignments: Sequence[str]) -> dict[str, Any]:
    """Read key=value pairs, values as YAML: threshold=0.6, channel={kind: gauss_markov, doppler_hz: 20}.

    Raises:
        ValueError: for an assignment without "=", a value that is no YAML, or a field that is set twice.
    """
    overrides: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise ValueError(f"--set {assignment!r}: valid is FIELD=VALUE")
        if key in overrides:
            raise ValueError(f"--set {assignment!r}: {key} is set already; valid is once")
        try:
            overrides[key] = parse_yaml(value)
        except ValueError as error:
            raise ValueError(f"--set {assignment!r}: the value {error}") from None
    return overrides


def own_and_named(policies: Sequence[str]) -> tuple[dict[str, Any], list[str] | None]:
    """Policies as commands take them: MODULE:OBJECT or NAME=MODULE:OBJECT is one's own, all else a name.

    Returns:
        one's own by name, imported with the current folder on the path; and the names, None if there are none.

    Raises:
        ValueError: for an object that the module has not, or a module that cannot be imported.
    """
    names = [policy for policy in policies if ":" not in policy]
    if len(names) < len(policies) and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    own: dict[str, Any] = {}
    for policy in policies:
        if ":" not in policy:
            continue
        name, _, place = policy.rpartition("=")
        module, _, attribute = place.partition(":")
        if not (module and attribute):
            raise ValueError(f"policy = {policy!r}: valid is MODULE:OBJECT or NAME=MODULE:OBJECT")
        try:
            found = getattr(import_module(module), attribute)
        except Exception as error:  # whatever a module of others raises
            said = " ".join(str(error).split())
            raise ValueError(f"policy = {policy!r}: {type(error).__name__}: {said}") from None
        if (name or attribute) in own:
            raise ValueError(f"policy = {policy!r}: {name or attribute} is another one; valid is NAME=MODULE:OBJECT")
        own[name or attribute] = found
    return own, names or None


def told_command() -> str:
    """The command line, as a person would give it again."""
    program = Path(sys.argv[0])
    called = ["python", "-m", program.parent.name] if program.name == "__main__.py" else [program.name]
    return shlex.join([*called, *sys.argv[1:]])


def wide_console() -> Console:
    """A console on which tables fit: at least 120 columns where the output is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, 120))


def print_table(
    console: Console, headings: Sequence[str], body: Sequence[Sequence[str]], title: str = "", left: Sequence[str] = ()
) -> None:
    """Print a table, in parts under each other where the console is too narrow for all columns: no digit is cut.

    Args:
        headings: of the columns; the first one's cells begin the lines of every part.
        body: cells as they are; they may have several lines.
        title: above it.
        left: headings of the columns of text.
    """
    heads = ["\n".join(_broken(heading, [line[at] for line in body])) for at, heading in enumerate(headings)]
    columns = ["\n".join([head, *(line[at] for line in body)]).split("\n") for at, head in enumerate(heads)]
    width = [max(map(cell_len, column)) + 3 for column in columns]  # margins and a divider
    parts: list[list[int]] = [[]]
    for at in range(1, len(heads)):
        if parts[-1] and width[0] + sum(width[each] for each in parts[-1]) + width[at] >= console.width:
            parts.append([])
        parts[-1].append(at)
    for part in parts:
        table = Table(title=escape(title), title_justify="left", header_style="bold", box=SIMPLE_HEAD)
        for at in (0, *part):
            texts = at == 0 or headings[at] in left
            table.add_column(escape(heads[at]), justify="left" if texts else "right", no_wrap=True, overflow="fold")
        for line in body:
            # rich takes "[mJ]" for markup and would leave it out
            table.add_row(*(escape(line[at]) for at in (0, *part)))
        console.print(table)
        title = ""


def _broken(heading: str, cells: Sequence[str]) -> list[str]:
    """A heading in lines no wider than the cells under it, or than its longest word."""
    lines = [line for cell in cells for line in cell.split("\n")]
    return textwrap.wrap(heading, max(map(len, (*lines, *heading.split()))), break_long_words=False) or [""]


class Bars(Progress):
    """Progress bars, one per named piece of work."""

    def task(self, name: str, total: int) -> Callable[[float], None]:
        """A new bar; call what it returns with the pieces finished since the last call, parts of them included."""
        task = self.add_task(name, total=total)
        return lambda finished: self.advance(task, finished)

    def describe(self, name: str) -> None:
        """Rename the newest bar."""
        self.update(self.task_ids[-1], description=name)

    def remove(self, name: str) -> None:
        """Take a bar away, if there is one of that name."""
        for task in self.tasks:
            if task.description == name:
                self.remove_task(task.id)

    def steps(self, name: str, total: int) -> Callable[[int], None]:
        """A new bar; call what it returns with all that is behind."""
        task = self.add_task(name, total=total)
        return lambda done: self.update(task, completed=done)


def bar(console: Console, shown: bool = True) -> Bars:
    """Progress bars on a terminal; they vanish when the work is done."""
    return Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not shown,
    )

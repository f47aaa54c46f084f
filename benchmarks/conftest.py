"""The fixture that times two sides in turns, and the table and file at the end of a run."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numba
import pytest
from rich.console import Console
from rich.table import Table

from benchmarks.side_by_side import Clock, Row
from dmoe_gym.files import write_json

ROWS: list[Row] = []


@pytest.fixture
def in_turns(benchmark: Any) -> Callable[..., tuple[Clock, Clock]]:
    """`in_turns(ours, other, rounds=...)` runs both once to warm up, then other, ours, other, ours, ...

    pytest-benchmark's own statistics are those of `ours`.
    """

    def run(ours: Callable[[], Any], other: Callable[[], Any], rounds: int) -> tuple[Clock, Clock]:
        mine, theirs = Clock(ours), Clock(other)
        ours()
        other()
        benchmark.pedantic(mine, setup=lambda: theirs() and None, rounds=rounds, iterations=1)
        return mine, theirs

    return run


@pytest.fixture
def report(benchmark: Any) -> Callable[[Row], None]:
    """`report(row)` puts a row into the table, the JSON file and pytest-benchmark's extra information."""

    def add(row: Row) -> None:
        ROWS.append(row)
        benchmark.extra_info.update(asdict(row))

    return add


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "threads": numba.get_num_threads(),
        "threading_layer": _threading_layer(),
        "python": sys.version.split()[0],
        "versions": {name: version(name) for name in ("numpy", "numba", "scipy", "gymnasium", "stable-baselines3")},
        "command": " ".join(["python -m pytest", *sys.argv[1:]]),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _threading_layer() -> str | None:
    try:
        return numba.threading_layer()
    except ValueError:
        return None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the rows and keep them in output/benchmarks.json."""
    if not ROWS:
        return
    table = Table(title="Side by side, in turns, in one run (least wall time; medians and processor time beside it)")
    for column in ("what", "against"):
        table.add_column(column)
    for column in ("aim", "measured", "median", "processor"):
        table.add_column(column, justify="right")
    table.add_column("aim met")
    for row in ROWS:
        sign = "≥" if row.at_least else "≤"
        table.add_row(
            row.what,
            row.against,
            "" if row.aim is None else f"{sign} {row.aim:,g} {row.unit}",
            *(
                "" if value is None else f"{value:,.3g} {row.unit}" if abs(value) < 100 else f"{value:,.0f} {row.unit}"
                for value in (row.ratio, row.ratio_median, row.ratio_processor)
            ),
            {True: "yes", False: "NO", None: ""}[row.met],
        )
    console = Console(width=170, soft_wrap=True)
    console.print(table)
    for row in ROWS:
        if row.details:
            console.print(f"{row.what}: " + ", ".join(f"{name} {value:,.4g}" for name, value in row.details.items()))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    console.print(f"{os.cpu_count()} cores, load average {load}, {numba.get_num_threads()} threads")
    path = write_json(
        "output/benchmarks.json", {"machine": machine(), "rows": [{**asdict(row), "met": row.met} for row in ROWS]}
    )
    console.print(f"kept in {path}")

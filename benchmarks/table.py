"""Rows as a table on the screen and as a JSON file, with what they depend on."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
from rich.console import Console
from rich.table import Table

from benchmarks.side_by_side import Row
from dmoe_gym.io.files import write_json

RESULTS = "output/benchmarks.json"
TITLE = "Side by side, in turns, in one run (least wall time; medians and processor time beside it)"


def show(rows: list[Row]) -> None:
    """Print the rows."""
    table = Table(title=TITLE)
    for column in ("what", "against"):
        table.add_column(column)
    for column in ("aim", "measured", "median", "processor"):
        table.add_column(column, justify="right")
    table.add_column("aim met")
    for row in rows:
        sign = "≥" if row.at_least else "≤"
        table.add_row(
            row.what,
            row.against,
            "" if row.aim is None else f"{sign} {row.aim:,g} {row.unit}",
            *(figure(value, row.unit) for value in (row.ratio, row.ratio_median, row.ratio_processor)),
            {True: "yes", False: "NO", None: ""}[row.met],
        )
    console = Console(width=170, soft_wrap=True)
    console.print(table)
    for row in rows:
        if row.details:
            console.print(f"{row.what}: " + ", ".join(f"{name} {value:,.4g}" for name, value in row.details.items()))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    console.print(f"{os.cpu_count()} cores, load average {load}, {numba.get_num_threads()} threads")
    console.print(f"kept in {RESULTS}")


def keep(row: Row, path: str = RESULTS) -> None:
    """Put a row into the JSON file, in the place of the same row of an earlier run."""
    others = [other for other in read_rows(path) if (other["what"], other["against"]) != (row.what, row.against)]
    write_json(path, {"rows": [*others, {**asdict(row), "met": row.met, "machine": machine()}]})


def read_rows(path: str = RESULTS) -> list[dict[str, Any]]:
    """The rows that runs left."""
    return json.loads(Path(path).read_text())["rows"] if Path(path).exists() else []


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": numba.get_num_threads(),
        "threading_layer": _threading_layer(),
        "python": sys.version.split()[0],
        "versions": {name: version(name) for name in ("numpy", "numba", "scipy", "gymnasium", "stable-baselines3")},
    }


def figure(value: float | None, unit: str) -> str:
    """A figure with three digits and its unit."""
    if value is None:
        return ""
    return f"{value:,.3g} {unit}" if abs(value) < 100 else f"{value:,.0f} {unit}"


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

"""The fixture that times two sides in turns, and the table and file at the end of a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from benchmarks.side_by_side import Clock, Row
from benchmarks.table import keep, show

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
def report(benchmark: Any, request: pytest.FixtureRequest) -> Callable[[Row], None]:
    """`report(row)` puts a row into the table, the JSON file and pytest-benchmark's extra information."""
    threads = os.environ.get("NUMBA_NUM_THREADS")
    prefix = f"NUMBA_NUM_THREADS={threads} " if threads else ""
    command = f"{prefix}python -m pytest '{request.node.nodeid}' --benchmark-only"

    def add(row: Row) -> None:
        row = replace(row, command=command, load=os.getloadavg()[0])
        ROWS.append(row)
        keep(row)  # at once: a run may be cut short
        benchmark.extra_info.update(asdict(row))

    return add


def pytest_terminal_summary() -> None:
    """Print the rows and keep them."""
    if ROWS:
        show(ROWS)

"""Two ways of doing the same work, timed in turns in one process, and the row that says how they compare."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Clock:
    """Wall and processor time of every call of one function [s]; processor time adds up all threads."""

    function: Callable[[], Any]
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def __call__(self) -> Any:
        wall, processor = time.perf_counter(), time.process_time()
        result = self.function()
        self.wall.append(time.perf_counter() - wall)
        self.processor.append(time.process_time() - processor)
        return result


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what, against: the two sides, in words.
        ratio: times faster (or, for shares and growth, the figure itself) from the least wall time of each side:
            other processes on the machine can only add to a time.
        ratio_median: the same from the medians of the wall times.
        ratio_processor: the same from the least processor times, which do not count waiting for other processes but
            add up threads; None where it has no meaning.
        aim: what issue 6 asks for; None where it asks for nothing.
        at_least: is the aim a floor (times faster) or a ceiling?
        unit: of ratio and aim, "x" for a ratio.
        details: further figures under names that carry their units.
        command: what measured it.
        load: the machine's load average just after.
    """

    what: str
    against: str
    ratio: float
    ratio_median: float | None = None
    ratio_processor: float | None = None
    aim: float | None = None
    at_least: bool = True
    unit: str = "x"
    details: dict[str, float] = field(default_factory=dict)
    command: str = ""
    load: float = 0.0

    @property
    def met(self) -> bool | None:
        """Is the aim met? None without one."""
        if self.aim is None:
            return None
        return self.ratio >= self.aim if self.at_least else self.ratio <= self.aim


def faster(ours: Clock, other: Clock, work: float = 1.0, other_work: float = 1.0) -> tuple[float, float, float]:
    """How many times less time one unit of work takes us: by least wall, median wall and least processor time."""
    scale = work / other_work
    return (
        scale * min(other.wall) / min(ours.wall),
        float(scale * np.median(other.wall) / np.median(ours.wall)),
        scale * min(other.processor) / min(ours.processor),
    )

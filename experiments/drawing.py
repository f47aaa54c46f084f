"""What the pictures share: colours and error bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from dmoe_gym.evaluation import Interval

# Told apart by the colour-blind too (Okabe and Ito).
BLACK, GREY = "#111111", "#9aa5b1"
VERMILION, BLUE, GREEN, PINK, ORANGE, SKY = "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"


def error_bars(
    axes: Axes,
    x: Sequence[float] | Sequence[Interval],
    y: Sequence[float] | Sequence[Interval],
    **style: Any,
) -> None:
    """Points whose intervals are drawn in the directions in which they have one."""
    axes.errorbar(
        _means(x), _means(y), xerr=_ends(x), yerr=_ends(y), **{"marker": "o", "markersize": 4, "capsize": 2, **style}
    )


def _means(values: Sequence[Any]) -> list[float]:
    return [value.mean if isinstance(value, Interval) else value for value in values]


def _ends(values: Sequence[Any]) -> list[list[float]] | None:
    """How far ends are below and above means, no less than 0: rounding may put a mean beyond its end."""
    if not all(isinstance(value, Interval) for value in values):
        return None
    return [[max(0.0, v.mean - v.low) for v in values], [max(0.0, v.high - v.mean) for v in values]]

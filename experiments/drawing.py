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
    axes: Axes, places: Sequence[float], values: Sequence[Interval], across: Sequence[Interval] = (), **style: Any
) -> None:
    """Means with their intervals; `across` are intervals of the places themselves."""
    axes.errorbar(
        [one.mean for one in across] or places,
        [value.mean for value in values],
        yerr=_ends(values),
        xerr=_ends(across) if across else None,
        **{"marker": "o", "capsize": 2, **style},
    )


def _ends(values: Sequence[Interval]) -> list[list[float]]:
    """How far the ends are below and above the means; rounding may put a mean beyond its end."""
    below = [max(0.0, value.mean - value.low) for value in values]
    return [below, [max(0.0, value.high - value.mean) for value in values]]

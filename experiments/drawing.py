"""What the pictures share: colours, error bars, gate scores of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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


def gate_score_panels(means: np.ndarray, domains: Sequence[str]) -> Figure:
    """Mean gate scores (L, domains, K), a panel per layer: domains down, experts across."""
    layers, _, experts = means.shape
    figure = Figure(figsize=(11, 6.4), layout="constrained", dpi=110)
    panels = figure.subplots(2, -(-layers // 2), squeeze=False)
    top = float(np.ceil(10 * means.max()) / 10)
    for layer, axes in enumerate(panels.flat):
        if layer >= layers:
            axes.set_axis_off()
            continue
        image = axes.imshow(means[layer], vmin=0, vmax=top, cmap="viridis")
        for domain, row in enumerate(means[layer]):
            for expert, value in enumerate(row):
                colour = "black" if value > 0.6 * top else "white"
                axes.text(expert, domain, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
        axes.set_title(f"layer {layer + 1}", fontsize=10)
        axes.set_xticks(range(experts), [f"{expert + 1}" for expert in range(experts)])
        axes.set_yticks(range(len(domains)), list(domains))
        axes.set_xlabel("expert")
    figure.colorbar(image, ax=panels, label="mean gate score")
    return figure


def _means(values: Sequence[Any]) -> list[float]:
    return [value.mean if isinstance(value, Interval) else value for value in values]


def _ends(values: Sequence[Any]) -> list[list[float]] | None:
    """How far ends are below and above means, no less than 0: rounding may put a mean beyond its end."""
    if not all(isinstance(value, Interval) for value in values):
        return None
    return [[max(0.0, v.mean - v.low) for v in values], [max(0.0, v.high - v.mean) for v in values]]

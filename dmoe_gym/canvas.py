"""Matplotlib figures that no global state knows of, as arrays, and what their panels have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import MaxNLocator

INCHES, DOTS_PER_INCH = (12.8, 8.0), 100
MARK = "#ff2d2d"


def new_figure(inches: tuple[float, float], **options: Any) -> Figure:
    """An empty figure of that width and height."""
    figure = Figure(figsize=inches, dpi=DOTS_PER_INCH, **options)
    FigureCanvasAgg(figure)
    return figure


def four_panels() -> tuple[Figure, GridSpec]:
    """A figure with a 2 x 2 grid under room for a title."""
    figure = new_figure(INCHES)
    grid = figure.add_gridspec(
        2, 2, left=0.065, right=0.985, bottom=0.075, top=0.87, width_ratios=(1, 1.55), height_ratios=(1.35, 1),
        wspace=0.17, hspace=0.36,
    )  # fmt: skip
    return figure, grid


def head(figure: Figure, title: str, sizes: str, outcome: str) -> None:
    """What is shown, its sizes and what came out, over the panels."""
    figure.text(0.065, 0.955, title, size=15, weight="bold")
    figure.text(0.065, 0.922, sizes, size=11)
    figure.text(0.985, 0.955, outcome, size=11, ha="right")


def pixels(figure: Figure) -> np.ndarray:
    """(height, width, 3) uint8, (800, 1280, 3) of four panels."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def running_sums(
    axes: Axes, own: np.ndarray, reference: np.ndarray, name: str, *, what: str, unit: str, steps: int, step: str
) -> None:
    """Two running sums over an episode's rounds: this episode's, and a reference's on the same rounds.

    Args:
        own, reference: one value per complete round.
        name: of the reference.
        what, unit: what the values are.
        steps, step: how many rounds an episode has, and what the axis calls them.
    """
    sums, theirs = (np.r_[0, np.cumsum(values)] for values in (own, reference))
    rounds = np.arange(len(sums))
    axes.plot(rounds, theirs, "o--", color="tab:orange", ms=6, label=f"{name}: {theirs[-1]:.4g} {unit}")
    axes.plot(rounds, sums, "o-", color="tab:blue", ms=4, label=f"this episode: {sums[-1]:.4g} {unit}")
    complete = len(rounds) - 1
    axes.set(
        title=f"{what.capitalize()} so far, {complete} complete {step.split()[0]}{'s' * (complete != 1)}",
        xlabel=step,
        ylabel=f"{what} [{unit}]",
        xlim=(0, steps),
    )
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    # the curves rise to the right
    axes.legend(loc="lower right")


def fold(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """The largest value of every block of `height` x `width`; blocks at the edges may be smaller."""
    rows = np.maximum.reduceat(values, np.arange(0, values.shape[0], height), axis=0)
    return np.maximum.reduceat(rows, np.arange(0, values.shape[1], width), axis=1)


def mark(axes: Axes, marked: np.ndarray) -> None:
    """A dot on every marked cell, as large as the cells allow."""
    box = axes.get_window_extent()
    cell = min(box.width / marked.shape[1], box.height / marked.shape[0]) * 72 / DOTS_PER_INCH
    rows, columns = np.nonzero(marked)
    size = float(np.clip(0.6 * cell, 4.5 if len(rows) < 80 else 2.5, 11))
    axes.plot(columns, rows, "o", color=MARK, ms=size, mec="white", mew=min(1.0, size / 8))


def whole_ticks(axes: Axes, count: int, block: int = 1, *, vertical: bool = False) -> None:
    """Ticks at about 16 positions, named by the first index of each block."""
    step = next(step for step in (1, 2, 4, 8, 16, 32, 64, count) if count / step <= 16)
    positions = range(0, count, step)
    (axes.set_yticks if vertical else axes.set_xticks)(positions, [str(position * block) for position in positions])

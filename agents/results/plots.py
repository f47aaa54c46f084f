"""The pictures of docs/results.md."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from agents.report import BASELINE_COLOUR, LEARNED_COLOURS
from agents.results.lines import Comparison, Line
from dmoe_gym.evaluation import performance_profile
from dmoe_gym.io.files import write_whole

COLUMNS = 3
KINDS = ("learned", "strongest analytic", "reference", "random")
STYLES = {
    "learned": (LEARNED_COLOURS[0], "-"),
    "strongest analytic": (LEARNED_COLOURS[1], "-"),
    "reference": (BASELINE_COLOUR, "--"),
    "random": (BASELINE_COLOUR, ":"),
}


def draw_gaps(path: Path, comparisons: Sequence[Comparison], shown: int = 6) -> None:
    """A panel per setting: how far its best schedulers are above the bound, learned ones in colour."""
    rows = -(-len(comparisons) // COLUMNS)
    figure = Figure(figsize=(4.6 * COLUMNS, 2.3 * rows), layout="constrained", dpi=110)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, comparison in zip(panels, comparisons, strict=False):
        _draw_gap(axes, comparison, shown)
    for axes in panels[len(comparisons) :]:
        axes.axis("off")
    key = {"learned": STYLES["learned"][0], "analytic": BASELINE_COLOUR}
    handles = [Patch(color=colour, label=kind) for kind, colour in key.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=8)
    _save(figure, path)


def _draw_gap(axes: Axes, comparison: Comparison, shown: int) -> None:
    schedulers = [(line, line.gap) for line in comparison.lines if line.gap is not None]
    # the cheapest ones and every learned one
    kept = [pair for index, pair in enumerate(schedulers) if index < shown or pair[0].kind == "learned"]
    means = np.array([gap.mean for _, gap in kept])
    spread = np.array([[gap.mean - gap.low, gap.high - gap.mean] for _, gap in kept])
    colours = [STYLES["learned"][0] if line.kind == "learned" else BASELINE_COLOUR for line, _ in kept]
    labels = [_label(line) for line, _ in kept]
    axes.barh(labels, means, xerr=spread.T, color=colours, error_kw={"lw": 1, "capsize": 2})
    for position, (_, gap) in enumerate(kept):
        text = f"{gap.mean:,.0f}" if gap.mean >= 100 else f"{gap.mean:.2g}"
        axes.annotate(
            text, (max(gap.high, 0), position), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7
        )
    # one scale for all panels: linear to a tenth of a percent, logarithmic from there
    axes.set_xscale("symlog", linthresh=0.1, linscale=0.5)
    axes.set_xlim(0, 20_000)
    axes.set_xticks([0, 0.1, 1, 10, 100, 1000], ["0", "0.1", "1", "10", "100", "1,000"])
    axes.minorticks_off()
    axes.invert_yaxis()
    axes.tick_params(labelsize=7)
    axes.set_title(comparison.setting.title, fontsize=9)
    axes.set_xlabel(f"% above {comparison.bound.name}", fontsize=8)


def _label(line: Line) -> str:
    return f"{line.name} ({line.seeds} seeds)" if line.seeds else line.name


def draw_profiles(path: Path, comparisons: Sequence[Comparison], learned: Mapping[str, Line]) -> None:
    """Share of seeds x episodes that come within a gap of the bound; settings weigh the same.

    Args:
        comparisons: with a learned line each.
        learned: it, by setting.
    """
    thresholds = np.concatenate([[0], np.logspace(-2, 4, 121)])
    figure = Figure(figsize=(7.2, 4.2), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    for kind in KINDS:
        colour, style = STYLES[kind]
        curves = [performance_profile(_gaps(_line(c, kind, learned)), thresholds) for c in comparisons]
        share, low, high = (
            np.mean([[getattr(point, part) for point in curve] for curve in curves], axis=0)
            for part in ("mean", "low", "high")
        )
        axes.plot(thresholds, share, style, color=colour, label=kind)
        axes.fill_between(thresholds, low, high, color=colour, alpha=0.15, lw=0)
    axes.set_xscale("symlog", linthresh=0.01)
    axes.set_xlim(0, thresholds[-1])
    axes.set_ylim(0, 1.01)
    axes.set_xlabel("cost above the bound [%]")
    axes.set_ylabel("share of seeds x episodes")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize=8)
    _save(figure, path)


def _line(comparison: Comparison, kind: str, learned: Mapping[str, Line]) -> Line:
    line_up = comparison.setting.line_up
    if kind == "learned":
        return learned[comparison.setting.title]
    if kind == "strongest analytic":
        return comparison.strongest
    return comparison.line(line_up.reference if kind == "reference" else line_up.random)


def _gaps(line: Line) -> np.ndarray:
    # an exact optimum's own rounding is no gap; a bound of 0, as of an oracle that is always right, is met or missed
    gaps = np.where(line.on_bound > line.bound, np.inf, 0.0)
    np.divide(100 * (line.on_bound - line.bound), line.bound, out=gaps, where=np.asarray(line.bound) > 0)
    return np.maximum(gaps, 0)


def _save(figure: Figure, path: Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_whole(path, picture.getvalue())

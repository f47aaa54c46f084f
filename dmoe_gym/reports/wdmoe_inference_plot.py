"""Accuracy against latency where WDMoE serves a real classifier."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dmoe_gym.evaluation import Interval
from dmoe_gym.evaluation.wdmoe_inference import MARGIN, SHARES, VANILLA, Results, named
from dmoe_gym.files import write_whole

# told apart by the colour-blind too (Okabe and Ito)
_ALONE = {
    VANILLA: ("D", "#111111"),
    "top-2-optimal": ("D", "#0072b2"),
    "top-1-optimal": ("v", "#0072b2"),
    "WLR-equal": ("o", "#999999"),
}
_CURVES = {"WLR-optimal": ("o", "#e69f00"), "greedy-optimal": ("s", "#009e73")}


def latency_accuracy(path: Path, results: Results) -> None:
    """A point with 95 % intervals per policy; WLR and greedy selection as curves over the share of relevance kept."""
    figure = Figure(figsize=(9.5, 5.6), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    for name, (marker, colour) in _ALONE.items():
        _points(axes, results, [name], name, marker, colour)
    for family, (marker, colour) in _CURVES.items():
        names = [named(family, share) for share in SHARES]
        _points(axes, results, names, f"{family}, share of relevance {SHARES[0]:g} to {SHARES[-1]:g}", marker, colour)
        for share, name in zip(SHARES, names, strict=True):
            place = (float(results.latency[name].mean()), float(results.accuracy[name].mean()))
            axes.annotate(f"{share:g}", place, xytext=(5, 5), textcoords="offset points", fontsize=7, color=colour)
    vanilla = float(results.accuracy[VANILLA].mean())
    axes.axhspan(vanilla - MARGIN, vanilla + MARGIN, color="#111111", alpha=0.08, lw=0)
    axes.annotate(
        f"vanilla's accuracy within {MARGIN:g} point", (0.98, vanilla), xycoords=("axes fraction", "data"),
        ha="right", va="center", fontsize=8,
    )  # fmt: skip
    axes.set_xlabel("block latency [ms]")
    axes.set_ylabel("accuracy on test inputs [%]")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_whole(path, picture.getvalue())


def _points(axes: Axes, results: Results, names: list[str], label: str, marker: str, colour: str) -> None:
    latency = [Interval.of(results.latency[name]) for name in names]
    accuracy = [Interval.of(results.accuracy[name]) for name in names]
    axes.errorbar(
        [one.mean for one in latency],
        [one.mean for one in accuracy],
        xerr=[[one.mean - one.low for one in latency], [one.high - one.mean for one in latency]],
        yerr=[[one.mean - one.low for one in accuracy], [one.high - one.mean for one in accuracy]],
        marker=marker,
        color=colour,
        ms=5,
        lw=1,
        capsize=2,
        elinewidth=0.7,
        label=label,
    )

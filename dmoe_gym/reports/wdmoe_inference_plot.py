"""Accuracy against latency where WDMoE serves a real classifier."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dmoe_gym.evaluation import Interval
from dmoe_gym.evaluation.wdmoe_inference import MARGIN, SHARES, VANILLA, Results, named
from dmoe_gym.io.files import write_whole

# told apart by the colour-blind too (Okabe and Ito)
_ALONE = {
    VANILLA: ("D", "#111111"),
    "top-2-optimal": ("D", "#0072b2"),
    "top-1-optimal": ("v", "#0072b2"),
    "WLR-equal": ("o", "#999999"),
}
_CURVES = {"WLR-optimal": ("o", "#e69f00"), "greedy-optimal": ("s", "#009e73")}


def latency_accuracy(path: Path, results: Results) -> None:
    """Change of accuracy from vanilla top-2 against latency: a point with 95 % intervals per policy.

    WLR and greedy selection are curves over the share of relevance kept.
    """
    figure = Figure(figsize=(9.5, 5.6), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    for name, (marker, colour) in _ALONE.items():
        _points(axes, results, [name], name, marker, colour)
    for family, (marker, colour) in _CURVES.items():
        names = [named(family, share) for share in SHARES]
        _points(axes, results, names, f"{family}, share of relevance {SHARES[0]:g} to {SHARES[-1]:g}", marker, colour)
    for share in SHARES:  # WLR's points lie too close together for numbers
        name = named("greedy-optimal", share)
        place = (float(results.latency[name].mean()), results.accuracy_change(name).mean)
        axes.annotate(
            f"{share:g}",
            place,
            xytext=(5, -11),
            textcoords="offset points",
            fontsize=8,
            color=_CURVES["greedy-optimal"][1],
        )
    axes.axhspan(-MARGIN, MARGIN, color="#111111", alpha=0.08, lw=0, label=f"within {MARGIN:g} point of {VANILLA}")
    axes.set_xlabel("block latency [ms]")
    axes.set_ylabel(f"accuracy on test inputs less {VANILLA}'s [points]")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_whole(path, picture.getvalue())


def _points(axes: Axes, results: Results, names: list[str], label: str, marker: str, colour: str) -> None:
    latency = [Interval.of(results.latency[name]) for name in names]
    accuracy = [results.accuracy_change(name) for name in names]
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

"""Plots of a sweep."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dmoe_gym.evaluation.statistics import Interval
from dmoe_gym.gating.experiment.report import CODING_PAIRS
from dmoe_gym.gating.experiment.statistics import (
    BEST_SNR,
    CHANNEL_AWARE,
    LABELS,
    NAIVE,
    NAIVE_STAGE_ONE,
    ORACLE,
    RANDOM,
    Accuracies,
)
from dmoe_gym.gating.experiment.sweep import TRANSMISSIONS

STYLES = {
    ORACLE: ("black", "--", "_"),
    CHANNEL_AWARE: ("tab:red", "-", "o"),
    BEST_SNR: ("tab:blue", "-", "s"),
    NAIVE: ("tab:orange", "-", "^"),
    NAIVE_STAGE_ONE: ("tab:olive", ":", "v"),
    RANDOM: ("tab:gray", "-", "x"),
}


def accuracy_figure(accuracies: Accuracies) -> Figure:
    """Accuracy over the SNR spread, one panel per transmission, 95 % intervals as error bars."""
    columns = min(3, len(accuracies.transmissions))
    rows = -(-len(accuracies.transmissions) // columns)
    figure = Figure(figsize=(3.4 * columns + 0.6, 2.9 * rows + 0.8), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axis in axes.flat[len(accuracies.transmissions) :]:
        axis.remove()
    for axis, name in zip(axes.flat, accuracies.transmissions, strict=False):
        for chooser, (color, line, marker) in STYLES.items():
            means = [Interval.of_few(values) for values in accuracies.of(name, chooser)]
            _errorbar(
                axis,
                accuracies.spreads_db,
                means,
                color=color,
                linestyle=line,
                marker=marker,
                label=LABELS[chooser],
            )
        axis.set_title(name.replace("_", " "), fontsize=10)
        axis.grid(alpha=0.3)
    figure.supxlabel("standard deviation of the experts' SNR [dB]", fontsize=10)
    figure.supylabel("accuracy [%]", fontsize=10)
    figure.suptitle(
        f"One expert per input, mean SNR {accuracies.mean_db:g} dB, {len(accuracies.seeds)} seeds", fontsize=11
    )
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return figure


def gain_figure(sweep: Sequence[Accuracies]) -> Figure:
    """Left: paired gain of the channel-aware over the naive gate. Right: what channel coding adds, by mean SNR."""
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    accuracies = sweep[len(sweep) // 2]
    for name in accuracies.transmissions:
        gains = [Interval.of_few(values) for values in accuracies.gain(name, CHANNEL_AWARE, NAIVE)]
        _errorbar(left, accuracies.spreads_db, gains, label=name.replace("_", " "), **_look(name))
    left.set_title(f"channel-aware gate minus naive gate, mean SNR {accuracies.mean_db:g} dB", fontsize=10)
    left.set_xlabel("standard deviation of the experts' SNR [dB]")
    left.set_ylabel("difference in accuracy [points]")
    known = set(accuracies.transmissions)
    for coded, plain in CODING_PAIRS.items():
        if {coded, plain} <= known:
            gains = [Interval.of_few(part.coding_gain(coded, plain, CHANNEL_AWARE).mean(axis=0)) for part in sweep]
            _errorbar(right, [part.mean_db for part in sweep], gains, label=coded.replace("_", " "), **_look(coded))
    right.set_title("coded minus uncoded, channel-aware gate, mean over the spreads", fontsize=10)
    right.set_xlabel("mean SNR [dB]")
    right.set_ylabel("difference in accuracy [points]")
    for axis in (left, right):
        axis.axhline(0, color="black", linewidth=0.8)
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    return figure


def _errorbar(axis: Axes, places: Sequence[float], values: Sequence[Interval], **style: Any) -> None:
    means = [100 * value.mean for value in values]
    axis.errorbar(
        places,
        means,
        yerr=[
            [mean - 100 * value.low for mean, value in zip(means, values, strict=True)],
            [100 * value.high - mean for mean, value in zip(means, values, strict=True)],
        ],
        **{"marker": "o", "markersize": 4, "linewidth": 1.4, "capsize": 2, **style},
    )


def _look(name: str) -> dict[str, str]:
    colors = ("tab:blue", "tab:cyan", "tab:red", "tab:orange", "tab:green", "tab:purple")
    return {"color": colors[list(TRANSMISSIONS).index(name)], "linestyle": "--" if name.startswith("analog") else "-"}


def png(figure: Figure) -> bytes:
    """The figure as a PNG file's content."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()

"""Plots of a sweep."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure

from dmoe_gym.gating.statistics import (
    BEST_SNR,
    CHANNEL_AWARE,
    LABELS,
    NAIVE,
    NAIVE_STAGE_ONE,
    ORACLE,
    RANDOM,
    Accuracies,
    interval,
)

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
            means = [interval(values) for values in accuracies.of(name, chooser)]
            axis.errorbar(
                accuracies.spreads_db,
                [100 * value.mean for value in means],
                yerr=[100 * value.half_width for value in means],
                color=color,
                linestyle=line,
                marker=marker,
                markersize=4,
                linewidth=1.4,
                capsize=2,
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


def gain_figure(accuracies: Accuracies) -> Figure:
    """Left: paired gain of the channel-aware over the naive gate. Right: accuracy averaged over the spreads."""
    figure = Figure(figsize=(9.2, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in accuracies.transmissions:
        gains = [interval(values) for values in accuracies.gain(name, CHANNEL_AWARE, NAIVE)]
        left.errorbar(
            accuracies.spreads_db,
            [100 * value.mean for value in gains],
            yerr=[100 * value.half_width for value in gains],
            marker="o",
            markersize=4,
            linewidth=1.3,
            capsize=2,
            linestyle="--" if name.startswith("analog") else "-",
            label=name.replace("_", " "),
        )
    left.axhline(0, color="black", linewidth=0.8)
    left.set_xlabel("standard deviation of the experts' SNR [dB]")
    left.set_ylabel("channel-aware minus naive [points]")
    left.legend(fontsize=7)
    left.grid(alpha=0.3)

    places = np.arange(len(accuracies.transmissions))
    for offset, chooser in ((-0.27, NAIVE), (0.0, CHANNEL_AWARE), (0.27, BEST_SNR)):
        means = [interval(accuracies.of(name, chooser).mean(axis=0)) for name in accuracies.transmissions]
        right.bar(
            places + offset,
            [100 * value.mean for value in means],
            width=0.25,
            yerr=[100 * value.half_width for value in means],
            color=STYLES[chooser][0],
            capsize=2,
            label=LABELS[chooser],
        )
    right.set_xticks(places, [name.replace("_", "\n") for name in accuracies.transmissions], fontsize=8)
    right.set_ylim(bottom=50)
    right.set_ylabel("accuracy, mean over spreads [%]")
    right.legend(fontsize=7, loc="lower right")
    right.grid(alpha=0.3, axis="y")
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file's content."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()

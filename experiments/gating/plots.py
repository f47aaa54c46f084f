"""The pictures of the experiment."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from dmoe_gym.evaluation.statistics import two_way_mean
from dmoe_gym.gating.scenarios import TRANSMISSIONS
from experiments.gating.accuracies import (
    BEST_SNR,
    CHANNEL_AWARE,
    LABELS,
    NAIVE,
    NAIVE_STAGE_ONE,
    ORACLE,
    RANDOM,
    Accuracies,
)
from experiments.gating.tables import coding_pairs
from experiments.page import error_bars

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
    names = accuracies.transmissions
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(max(3.6 * columns + 0.6, 6.6), 3.0 * rows + 1.2), layout="constrained", dpi=110)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    lowest, highest = 100.0, 0.0
    for axis, name in zip(panels, names, strict=False):
        for chooser, (color, line, marker) in STYLES.items():
            if chooser not in accuracies.choosers:
                continue
            means = [two_way_mean(values) * 100 for values in accuracies.of(name, chooser)]
            lowest = min(lowest, *(value.mean for value in means))
            highest = max(highest, *(value.mean for value in means))
            error_bars(
                axis,
                accuracies.spreads_db,
                means,
                color=color,
                linestyle=line,
                marker=marker,
                label=LABELS[chooser],
            )
        axis.set_title(name.replace("_", " "), fontsize=10)
        axis.set_xticks(accuracies.spreads_db)
        axis.grid(alpha=0.3)
    panels[0].set_ylim(10 * (lowest // 10), highest + 3)
    for axis in panels[len(names) - columns : len(names)]:
        axis.set_xlabel("standard deviation of the experts' SNR [dB]")
    for axis in panels[len(names) :]:
        axis.remove()
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9, frameon=False
    )
    figure.supylabel("accuracy [%]", fontsize=10)
    figure.suptitle(
        f"One expert per input, mean SNR {accuracies.mean_db:g} dB, {len(accuracies.seeds)} seeds, 95 % intervals",
        fontsize=11,
    )
    return figure


def gain_figure(sweep: Sequence[Accuracies]) -> Figure:
    """Paired gain of the channel-aware over the naive gate; right of it what codes add, where there are any."""
    accuracies = sweep[len(sweep) // 2]
    pairs = coding_pairs(accuracies)
    columns = 2 if pairs else 1
    figure = Figure(figsize=(4.8 * columns, 4.0), layout="constrained", dpi=110)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    left, right = axes[0], axes[-1]
    for place, name in enumerate(accuracies.transmissions):
        gains = [two_way_mean(values) * 100 for values in accuracies.gain(name, CHANNEL_AWARE, NAIVE)]
        # side by side, so that intervals do not hide each other
        places = [spread + 0.2 * (place - len(accuracies.transmissions) / 2) for spread in accuracies.spreads_db]
        error_bars(left, places, gains, label=name.replace("_", " "), **_look(name))
    left.set_title(f"channel-aware minus naive gate, mean SNR {accuracies.mean_db:g} dB", fontsize=10)
    left.set_xticks(accuracies.spreads_db)
    left.set_xlabel("standard deviation of the experts' SNR [dB]")
    left.set_ylabel("difference in accuracy [points]")
    for coded, plain in pairs.items():
        gains = [two_way_mean(part.coding_gain(coded, plain, CHANNEL_AWARE).mean(axis=0)) * 100 for part in sweep]
        error_bars(right, [part.mean_db for part in sweep], gains, label=coded.replace("_", " "), **_look(coded))
    if pairs:
        right.set_title("coded minus uncoded, channel-aware gate", fontsize=10)
        right.set_xlabel("mean SNR [dB], mean over the spreads")
        right.set_ylabel("difference in accuracy [points]")
    for axis in axes:
        axis.axhline(0, color="black", linewidth=0.8)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return figure


def _look(name: str) -> dict[str, str]:
    colors = ("tab:blue", "tab:cyan", "tab:red", "tab:orange", "tab:green", "tab:purple")
    return {"color": colors[list(TRANSMISSIONS).index(name)], "linestyle": "--" if name.startswith("analog") else "-"}

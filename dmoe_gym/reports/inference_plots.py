"""Pictures of the accuracy-energy experiment."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dmoe_gym.evaluation import Interval, Row, by_policy
from dmoe_gym.evaluation.inference import ACCURACY, ENERGY, Selection
from dmoe_gym.io.files import write_whole

# told apart by the colour-blind too (Okabe and Ito)
_STYLES = {
    "JESA": ("o", "#56b4e9", "JESA, gamma < 1"),
    "homogeneous": ("s", "#0072b2", "homogeneous, gamma = 1"),
    "top-k": ("D", "#111111", "Top-k"),
    "random": ("X", "#9aa5b1", "random"),
    "learned": ("^", "#d55e00", "learned selection"),
}


def pareto(path: Path, rows: Sequence[Row]) -> None:
    """Accuracy against energy per answer, a point per policy, Top-k with its intervals; what is far off is named."""
    figure = Figure(figsize=(9.5, 5.6), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    groups = by_policy(rows)
    families = {name: str(group[0]["family"]) for name, group in groups.items()}
    for family, (marker, colour, label) in _STYLES.items():
        names = [name for name in groups if families[name] == family]
        if not names:
            continue
        energy = [float(np.mean([row[ENERGY] for row in groups[name]])) for name in names]
        accuracy = [100 * float(np.mean([row[ACCURACY] for row in groups[name]])) for name in names]
        axes.scatter(energy, accuracy, marker=marker, color=colour, s=26, alpha=0.8, label=label, zorder=2)
        if family == "homogeneous":
            order = np.argsort(energy)
            axes.plot(np.array(energy)[order], np.array(accuracy)[order], color=colour, lw=1, alpha=0.6)
        if family == "top-k":
            for name in names:
                _mark(axes, groups[name], name, colour)
    means = {name: _mean(group) for name, group in groups.items()}
    dearest = max(energy for name, (energy, _) in means.items() if families[name] == "top-k")
    least = min(accuracy for name, (_, accuracy) in means.items() if families[name] == "top-k")
    axes.set_xlim(right=1.1 * dearest)
    axes.set_ylim(bottom=least - 10)
    far = [
        f"{name}: {accuracy:.1f} % at {energy:.1f} mJ"
        for name, (energy, accuracy) in means.items()
        if energy > 1.1 * dearest
    ]
    axes.set_title("; ".join(["outside: " + ", ".join(far)] if far else []), fontsize=9, loc="right")
    axes.set_xlabel("energy per answer [mJ]")
    axes.set_ylabel("accuracy on test inputs [%]")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    _save(figure, path)


def _mean(rows: Sequence[Row]) -> tuple[float, float]:
    """Energy [mJ] and accuracy [%]."""
    return float(np.mean([row[ENERGY] for row in rows])), 100 * float(np.mean([row[ACCURACY] for row in rows]))


def _mark(axes: Axes, rows: Sequence[Row], label: str, colour: str) -> None:
    energy = Interval.of([row[ENERGY] for row in rows])
    accuracy = Interval.of([100 * row[ACCURACY] for row in rows])
    axes.errorbar(
        energy.mean,
        accuracy.mean,
        xerr=[[energy.mean - energy.low], [energy.high - energy.mean]],
        yerr=[[accuracy.mean - accuracy.low], [accuracy.high - accuracy.mean]],
        color=colour,
        capsize=3,
        lw=1,
        zorder=1,
    )
    axes.annotate(label, (energy.mean, accuracy.mean), xytext=(6, -11), textcoords="offset points", fontsize=8)


def selection_heat_maps(path: Path, selections: Mapping[str, Selection]) -> None:
    """Per policy: share of hidden states that each node's expert serves, and each rank of gate score, by layer."""
    figure = Figure(figsize=(3.4 * len(selections) + 1.2, 6.6), layout="constrained", dpi=110)
    panels = figure.subplots(2, len(selections), squeeze=False)
    for column, (name, selection) in enumerate(selections.items()):
        halves = ((selection.by_expert, "expert of node"), (selection.by_rank, "rank of gate score"))
        for axes, (shares, label) in zip(panels[:, column], halves, strict=True):
            image = axes.imshow(shares, vmin=0, vmax=1, cmap="viridis", aspect="auto")
            for layer, line in enumerate(shares):
                for place, share in enumerate(line):
                    colour = "black" if share > 0.6 else "white"
                    axes.text(place, layer, f"{share:.2f}", ha="center", va="center", fontsize=8, color=colour)
            axes.set_xticks(range(shares.shape[1]), [str(place + 1) for place in range(shares.shape[1])])
            axes.set_yticks(range(len(shares)), [str(layer + 1) for layer in range(len(shares))])
            axes.set_xlabel(label)
            axes.set_ylabel("layer")
        panels[0, column].set_title(name, fontsize=10)
    figure.colorbar(image, ax=panels, label="share of hidden states served")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_whole(path, picture.getvalue())

"""Pictures of the accuracy-energy experiment."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from experiments.answers import Answers, contenders
from experiments.drawing import BLACK, BLUE, GREY, SKY, error_bars

_STYLES = {
    "JESA": ("o", SKY, "JESA, gamma < 1"),
    "homogeneous": ("s", BLUE, "homogeneous, gamma = 1"),
    "top-k": ("D", BLACK, "Top-k"),
    "random": ("X", GREY, "random"),
}


def pareto(asked: Mapping[str, Answers], inputs: str) -> Figure:
    """Accuracy on a part of the inputs against energy per answer, a point per contender, Top-k with intervals; what is
    far off is named."""
    figure = Figure(figsize=(9.5, 5.6), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    places = {name: (float(one.energy.mean()), 100 * one.accuracy) for name, one in asked.items()}
    families: dict[str, list[str]] = {}
    for name in asked:
        families.setdefault(contenders()[name].family, []).append(name)
    for family, (marker, colour, label) in _STYLES.items():
        energy, accuracy = np.array([places[name] for name in families[family]]).T
        axes.scatter(energy, accuracy, marker=marker, color=colour, s=26, alpha=0.8, label=label, zorder=2)
        if family == "homogeneous":
            order = np.argsort(energy)
            axes.plot(energy[order], accuracy[order], color=colour, lw=1, alpha=0.6)
    for name in families["top-k"]:
        one = asked[name]
        energies, accuracies = [one.energy_interval()], [one.accuracy_interval()]
        error_bars(axes, energies, accuracies, marker="", color=BLACK, capsize=3, lw=1, zorder=1)
        axes.annotate(name, places[name], xytext=(6, -11), textcoords="offset points", fontsize=8)
    right = 1.1 * max(places[name][0] for name in families["top-k"])
    axes.set_xlim(right=right)
    axes.set_ylim(bottom=min(places[name][1] for name in families["top-k"]) - 10)
    far = [
        f"{name}: {accuracy:.1f} % at {energy:.1f} mJ" for name, (energy, accuracy) in places.items() if energy > right
    ]
    axes.set_title(f"outside: {', '.join(far)}" if far else "", fontsize=9, loc="right")
    axes.set_xlabel("energy per answer [mJ]")
    axes.set_ylabel(f"accuracy on {inputs} inputs [%]")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


def selection_heat_maps(asked: Mapping[str, Answers]) -> Figure:
    """Per contender: share of hidden states that each node's expert serves, and each rank of gate score, by layer."""
    figure = Figure(figsize=(3.4 * len(asked) + 1.2, 6.6), layout="constrained", dpi=110)
    panels = figure.subplots(2, len(asked), squeeze=False)
    for column, (name, one) in enumerate(asked.items()):
        halves = ((one.by_expert, "expert of node"), (one.by_rank, "rank of gate score"))
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
    return figure

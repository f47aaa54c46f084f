"""Pictures of what a model's gates do."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dmoe_gym.io.files import write_whole


def draw_gate_scores(path: Path, means: np.ndarray, domains: Sequence[str]) -> None:
    """Mean gate scores (L, domains, K) as PNG, a panel per layer: domains down, experts across."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.4), layout="constrained", dpi=110)
    panels = figure.subplots(2, -(-len(means) // 2), squeeze=False)
    top = float(np.ceil(10 * means.max()) / 10)
    for layer, axes in enumerate(panels.flat):
        if layer >= len(means):
            axes.set_axis_off()
            continue
        image = axes.imshow(means[layer], vmin=0, vmax=top, cmap="viridis")
        for domain, row in enumerate(means[layer]):
            for expert, value in enumerate(row):
                colour = "black" if value > 0.6 * top else "white"
                axes.text(expert, domain, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
        axes.set_title(f"layer {layer + 1}", fontsize=10)
        experts = means.shape[-1]
        axes.set_xticks(range(experts), [f"{expert + 1}" for expert in range(experts)])
        axes.set_yticks(range(len(domains)), list(domains))
        axes.set_xlabel("expert")
    figure.colorbar(image, ax=panels, label="mean gate score")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_whole(path, picture.getvalue())

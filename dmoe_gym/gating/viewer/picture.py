"""One scene as a picture: the image, the experts' SNRs with the selected ones, the output."""

from __future__ import annotations

import numpy as np

from dmoe_gym.canvas import new_figure, pixels
from dmoe_gym.gating.viewer.scene import Scene, outcome


def draw(scene: Scene) -> np.ndarray:
    """(320, 900, 3) uint8."""
    figure = new_figure((9.0, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1.2, 1.4))
    left.imshow(scene.image, cmap="gray_r", vmin=-1, vmax=1)
    left.set_xticks([])
    left.set_yticks([])
    left.set_title(f"input, label {scene.label}", fontsize=10)
    snr_db, experts = np.clip(scene.snr_db, -30, 30), range(len(scene.snr))
    middle.bar(experts, snr_db, color=["tab:red" if one else "tab:gray" for one in scene.selected])
    middle.axhline(0, color="black", linewidth=0.8)
    middle.set(ylim=(-30, 30), xticks=experts, xlabel="expert (selected: red)", ylabel="SNR [dB]")
    right.set_title(outcome(scene), fontsize=10)
    output = np.zeros(10) if scene.output is None else scene.output
    classes = range(len(output))
    right.bar(classes, output, color=["tab:green" if c == scene.label else "tab:blue" for c in classes])
    right.set(ylim=(0, 1), xticks=classes, xlabel="class (label: green)", ylabel="probability")
    return pixels(figure)

"""A scene in words and numbers: the image, the experts' SNRs, the answer."""

from __future__ import annotations

import numpy as np

from dmoe_gym.gating.viewer.recorder import Scene

SHADES = " .:-=+*#%@"


def text(scene: Scene) -> str:
    """All of a scene."""
    levels = np.clip((scene.image + 1) / 2 * (len(SHADES) - 1), 0, len(SHADES) - 1).round().astype(int)
    lines = ["".join(2 * SHADES[level] for level in row) for row in levels]
    for k, value in enumerate(scene.snr_db):
        lines.append(f"expert {k}: SNR {value:6.1f} dB {'selected' if scene.selected[k] else ''}".rstrip())
    return "\n".join([*lines, f"label {scene.label}, {outcome(scene)}"])


def outcome(scene: Scene) -> str:
    """The answer, and whether it is right."""
    if scene.output is None:
        return "not decided yet"
    verdict = "right" if scene.answer == scene.label else "wrong"
    return f"answer {scene.answer} with probability {scene.output.max():.2f}: {verdict}"

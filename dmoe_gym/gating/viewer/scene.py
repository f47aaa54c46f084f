"""What a picture of a gating environment needs and the core does not keep: the input that was decided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dmoe_gym.gating.env import GatingCore
from dmoe_gym.rendering import Recorder


@dataclass(frozen=True, eq=False)
class Scene:
    """One input of one environment.

    Attributes:
        image: (H, W) from -1 to 1; label: its class.
        snr: (K,) linear.
        selected: (K,) bool; none before the decision.
        output: (C,) probabilities of the classes; None before the decision.
    """

    image: np.ndarray
    label: int
    snr: np.ndarray
    selected: np.ndarray
    output: np.ndarray | None

    @property
    def snr_db(self) -> np.ndarray:
        """(K,) [dB], not below -120."""
        return 10 * np.log10(np.maximum(self.snr, 1e-12))

    @property
    def answer(self) -> int | None:
        """The class of largest probability."""
        return None if self.output is None else int(self.output.argmax())


class GatingRecorder(Recorder[GatingCore, Scene]):
    """Keeps the decided inputs of every environment's episode."""

    def decided(self, core: GatingCore, row: int) -> Scene:
        return _scene(core, row, core.selected[row].copy(), core.output[row].copy())

    def scene(self, core: GatingCore, row: int) -> Scene:
        last = self.get(row, int(core.decided_rounds(row)))
        return last if last is not None else _scene(core, row, np.zeros_like(core.selected[row]), None)


def _scene(core: GatingCore, row: int, selected: np.ndarray, output: np.ndarray | None) -> Scene:
    image = int(core.image[row])
    return Scene(core.images[image, 0], int(core.labels[image]), core.snr[row].copy(), selected, output)


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

"""Pictures and texts of one DMoE environment: gate scores, channel, schedule, energy beside JESA's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmoe_gym.dmoe.viewer.recorder import Scene, current_scene
from dmoe_gym.dmoe.viewer.words import energy_so_far, outcome, sizes, title
from dmoe_gym.rendering import MOST_LINES, drawing, left_out

if TYPE_CHECKING:
    from dmoe_gym.dmoe.env.base import DMoECore

# An ansi text shows every gate score up to this many experts, beyond, those of the selected ones.
FULL_SCORES = 12


def render_rgb(core: DMoECore, row: int) -> np.ndarray:
    """A picture of the round that the last step worked on, and of the episode's energy so far.

    Returns:
        (800, 1280, 3) uint8.

    Raises:
        ImportError: with the command that installs matplotlib, if it is missing.
    """
    return drawing("dmoe_gym.dmoe.viewer.picture")(current_scene(core, row))


def render_ansi(core: DMoECore, row: int) -> str:
    """The same as text. Energies are in mJ, spectral efficiency in bit/s/Hz; `*` marks selected experts."""
    scene = current_scene(core, row)
    lines = [
        title(scene),
        sizes(scene),
        *outcome(scene),
        *(() if scene.repairs is None else (f"repairs {scene.repairs} in the last step",)),
        energy_so_far(scene),
        *_states(scene),
        *_links(scene),
    ]
    return "\n".join(lines) + "\n"


def _states(scene: Scene) -> list[str]:
    scores = scene.round.gate_scores
    nodes, states, experts = scores.shape
    chosen = scene.schedule.selected if scene.schedule else np.zeros(scores.shape, bool)
    full = experts <= FULL_SCORES
    lines = ["gate scores" + ("" if full else " of the selected experts")]
    if full:
        lines.append("node.state " + "".join(f"{f'expert {j}':>10}" for j in range(experts)))
    for i, n in list(np.ndindex(nodes, states))[:MOST_LINES]:
        label = f"{f'{i}.{n}':>10} "
        if full:
            marks = ("*" if bit else " " for bit in chosen[i, n])
            cells = "".join(f"{score:9.3f}{mark}" for score, mark in zip(scores[i, n], marks, strict=True))
        else:
            cells = ", ".join(f"{j}: {scores[i, n, j]:.3f}*" for j in np.flatnonzero(chosen[i, n]))
        lines.append(label + cells)
    return lines + left_out(nodes * states, "hidden states")


def _links(scene: Scene) -> list[str]:
    if scene.schedule is None:
        return []
    payload, links = scene.schedule.payload_states, np.argwhere(scene.schedule.allocated)
    lines = ["links: node -> expert, hidden states, subcarrier, spectral efficiency [bit/s/Hz]"]
    for i, j, m in links[:MOST_LINES]:
        lines.append(f"{i:>4} -> {j:<4} {payload[i, j]:>3}  m={m:<5} {scene.efficiency[i, j, m]:.3f}")
    return lines + left_out(len(links), "links")

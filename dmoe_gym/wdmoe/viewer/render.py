"""Pictures and texts of one WDMoE environment: gate weights, links, devices' times, latency beside greedy's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dmoe_gym.rendering import MOST_LINES, drawing, left_out
from dmoe_gym.wdmoe.physics.latency import latency
from dmoe_gym.wdmoe.viewer.recorder import Scene, current_scene
from dmoe_gym.wdmoe.viewer.words import latency_so_far, outcome, parts, sizes, title

if TYPE_CHECKING:
    from dmoe_gym.wdmoe.env.base import WDMoECore

# An ansi text shows every gate weight up to this many devices, beyond, those of the selected ones.
FULL_WEIGHTS = 12


def render_rgb(core: WDMoECore, row: int) -> np.ndarray:
    """A picture of the block that the last step decided, and of the episode's latency so far.

    Returns:
        (800, 1280, 3) uint8.

    Raises:
        ImportError: with the command that installs matplotlib, if it is missing.
    """
    return drawing("dmoe_gym.wdmoe.viewer.picture")(current_scene(core, row))


def render_ansi(core: WDMoECore, row: int) -> str:
    """The same as text. Times are in ms, spectral efficiency in bit/s/Hz; `*` marks selected devices."""
    scene = current_scene(core, row)
    lines = [
        title(scene),
        sizes(scene),
        *outcome(scene),
        *parts(scene),
        *(() if scene.repairs is None else (f"repairs {scene.repairs} in the last step",)),
        latency_so_far(scene),
        *_devices(scene),
        *_tokens(scene),
    ]
    return "\n".join(lines) + "\n"


def _devices(scene: Scene) -> list[str]:
    devices = scene.block.config.num_devices
    head = "device   efficiency down      up"
    if scene.allocation is None:
        times = None
    else:
        head += "   tokens      MHz  down ms    up ms  computation ms   total ms"
        times = latency(scene.block, scene.allocation)
    lines = [head + "   [efficiency in bit/s/Hz]"]
    for k in range(min(devices, MOST_LINES)):
        line = f"{k:>6}   {scene.efficiency[0, k]:15.3f} {scene.efficiency[1, k]:7.3f}"
        if times is not None and scene.allocation is not None:
            line += (
                f"   {scene.allocation.tokens[k]:>6} {1e-6 * scene.allocation.bandwidth[k]:8.3f}"
                f" {1e3 * times.device_downlink[k]:8.3f} {1e3 * times.device_uplink[k]:8.3f}"
                f" {1e3 * times.device_computation[k]:15.3f} {1e3 * times.device_times[k]:10.3f}"
            )
        lines.append(line)
    return lines + left_out(devices, "devices")


def _tokens(scene: Scene) -> list[str]:
    weights = scene.block.gate_weights
    tokens, devices = weights.shape
    chosen = scene.allocation.selected if scene.allocation else np.zeros(weights.shape, bool)
    full = devices <= FULL_WEIGHTS
    lines = ["gate weights" + ("" if full else " of the selected devices")]
    if full:
        lines.append("     token " + "".join(f"{f'device {k}':>10}" for k in range(devices)))
    for j in range(min(tokens, MOST_LINES)):
        if full:
            marks = ("*" if bit else " " for bit in chosen[j])
            cells = "".join(f"{weight:9.3f}{mark}" for weight, mark in zip(weights[j], marks, strict=True))
        else:
            cells = ", ".join(f"{k}: {weights[j, k]:.3f}*" for k in np.flatnonzero(chosen[j]))
        lines.append(f"{j:>10} " + cells)
    return lines + left_out(tokens, "tokens")

"""A scene in words and numbers: gate weights, links, devices' times, latency beside greedy's."""

from __future__ import annotations

import numpy as np

from dmoe_gym.rendering import MOST_LINES, left_out, marked
from dmoe_gym.wdmoe.physics.block import mean_relevance
from dmoe_gym.wdmoe.physics.cost import cost
from dmoe_gym.wdmoe.physics.latency import latency
from dmoe_gym.wdmoe.viewer.recorder import Scene

# An ansi text shows every gate weight up to this many devices, beyond, those of the selected ones.
FULL_WEIGHTS = 12


def text(scene: Scene) -> str:
    """All of a scene. Times are in ms, spectral efficiency in bit/s/Hz; `*` marks selected devices."""
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
            cells = marked(weights[j], chosen[j])
        else:
            cells = ", ".join(f"{k}: {weights[j, k]:.3f}*" for k in np.flatnonzero(chosen[j]))
        lines.append(f"{j:>10} " + cells)
    return lines + left_out(tokens, "tokens")


def title(scene: Scene) -> str:
    """Which block is shown, and whether it is decided."""
    state = "nothing decided yet" if scene.allocation is None else "decided"
    return f"Block {scene.number} of {scene.block.config.num_blocks}, {state}"


def sizes(scene: Scene) -> str:
    """The scenario's sizes and the block's relevance budget on one line."""
    config = scene.block.config
    return (
        f"U = {config.num_devices} devices, J = {config.num_tokens} tokens, at most D = {config.max_experts} experts "
        f"per token, {config.bandwidth_hz / 1e6:g} MHz, relevance budget {scene.block.relevance_budget:.3f}"
    )


def outcome(scene: Scene) -> list[str]:
    """Cost, relevance and latency [ms] of the shown block, once it is decided."""
    if scene.allocation is None:
        return []
    return [
        f"cost {cost(scene.block, scene.allocation):.6g}",
        f"relevance {mean_relevance(scene.block, scene.allocation.selected):.6g}",
        f"latency {1e3 * latency(scene.block, scene.allocation).total:.6g} ms",
    ]


def parts(scene: Scene) -> list[str]:
    """What the block's latency is made of [ms], means over the devices with tokens."""
    if scene.allocation is None:
        return []
    found = latency(scene.block, scene.allocation)
    named = (
        (found.downlink, "downlink"),
        (found.uplink, "uplink"),
        (found.computation, "computation"),
        (found.waiting, "waiting"),
    )
    return ["latency in ms: " + " + ".join(f"{1e3 * seconds:.6g} {name}" for seconds, name in named)]


def latency_so_far(scene: Scene) -> str:
    """Latency of the decided blocks beside greedy selection's on the same blocks, on one line."""
    blocks = len(scene.latencies)
    own, greedy = 1e3 * scene.latencies.sum(), 1e3 * scene.greedy_latencies.sum()
    return f"latency so far {own:.6g} ms, greedy {greedy:.6g} ms on the same {blocks} block{'s' * (blocks != 1)}"

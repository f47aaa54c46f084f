"""What a picture of a WDMoE environment needs and the core does not keep: the decided block, and latencies so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dmoe_gym.rendering import MOST_LINES, Recorder, left_out, score_table
from dmoe_gym.wdmoe.config import WDMoEConfig
from dmoe_gym.wdmoe.env.base import WDMoECore
from dmoe_gym.wdmoe.physics.block import Allocation, Block, mean_relevance
from dmoe_gym.wdmoe.physics.latency import cost, latency
from dmoe_gym.wdmoe.solvers.greedy import solve_greedy


@dataclass(frozen=True, eq=False)
class Scene:
    """One block of one environment, consistent in itself.

    Attributes:
        number: of the block, from 1.
        block: the true block.
        efficiency: (2, U) bit/s/Hz, downlink and uplink over an equal share, as the scheduler saw them.
        allocation: what was decided; None if nothing was.
        repairs: of the last step; None if there was none.
        latencies: [s], one per decided block of the episode so far; NaN for one that was not recorded.
        greedy_latencies: [s], those of greedy selection with optimal bandwidth (`solve_greedy`) on the same blocks,
            with the true channel.
    """

    number: int
    block: Block
    efficiency: np.ndarray
    allocation: Allocation | None
    repairs: int | None
    latencies: np.ndarray
    greedy_latencies: np.ndarray


@dataclass(frozen=True, eq=False)
class Decided:
    """A decided block as the core held it; what follows from it is worked out on demand.

    Attributes:
        config: of the environment.
        gate_weights: (J, U); gains: (2, U), downlink and uplink.
        selected: (J, U) bool; bandwidth: (U,) [Hz].
        efficiency: (2, U), as the scheduler saw it.
    """

    config: WDMoEConfig
    gate_weights: np.ndarray
    gains: np.ndarray
    selected: np.ndarray
    bandwidth: np.ndarray
    efficiency: np.ndarray

    @cached_property
    def block(self) -> Block:
        """The true block."""
        return Block(self.gate_weights, self.gains[0], self.gains[1], self.config)

    @cached_property
    def allocation(self) -> Allocation:
        """What was decided."""
        return Allocation(self.selected, self.bandwidth)

    @cached_property
    def latency(self) -> float:
        """Of the block [s]."""
        return latency(self.block, self.allocation).total

    @cached_property
    def greedy_latency(self) -> float:
        """That of `solve_greedy` on the same block [s]."""
        return latency(self.block, solve_greedy(self.block)).total


class WDMoERecorder(Recorder[WDMoECore, Decided]):
    """Keeps the decided blocks of every environment's episode."""

    def decided(self, core: WDMoECore, row: int) -> Decided:
        return Decided(
            core.config,
            core.gate_weights[row].copy(),
            core.gains[row].copy(),
            core.selected[row].copy(),
            core.bandwidth[row].copy(),
            core.efficiency[:, row].copy(),
        )

    def scene(self, core: WDMoECore, row: int) -> Scene:
        number = int(core.decided_rounds(row))
        latencies = self.values(row, number, lambda decided: decided.latency)
        greedy = self.values(row, number, lambda decided: decided.greedy_latency)
        last = self.get(row, number)
        if last is None:
            efficiency = core.efficiency[:, row].copy()
            return Scene(int(core.layer[row]), core.round(row), efficiency, None, None, latencies, greedy)
        repairs = int(core.terms["repairs"][row])
        return Scene(number, last.block, last.efficiency, last.allocation, repairs, latencies, greedy)


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
    tokens = len(weights)
    chosen = scene.allocation.selected if scene.allocation else np.zeros(weights.shape, bool)
    lines = score_table("gate weights", "token", "device", [str(j) for j in range(tokens)], weights, chosen)
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

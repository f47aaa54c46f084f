"""What a picture of a WDMoE environment needs and the core does not keep: the decided block, and latencies so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmoe_gym.wdmoe.physics.block import Allocation, Block
from dmoe_gym.wdmoe.physics.latency import latency
from dmoe_gym.wdmoe.solvers.greedy import solve_greedy

if TYPE_CHECKING:
    from dmoe_gym.wdmoe.env.base import WDMoECore


@dataclass(frozen=True, eq=False)
class Scene:
    """One block of one environment, consistent in itself.

    Fields:
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


class Recorder:
    """Keeps every environment's last decided block, and the latencies of its episode's blocks beside greedy's.

    A core has one only where a facade with a render mode asked for it (`WDMoECore.record`): greedy selection is
    solved for every block that is recorded.

    Attributes:
        latencies, greedy_latencies: (num_envs, blocks) float64 [s]; entries of blocks still to come are those of an
            earlier episode, or NaN.
    """

    def __init__(self, core: WDMoECore) -> None:
        shape = (core.num_envs, core.config.num_blocks)
        self.latencies = np.full(shape, np.nan)
        self.greedy_latencies = np.full(shape, np.nan)
        self.decided: list[tuple[Block, np.ndarray, Allocation] | None] = [None] * core.num_envs

    def keep_round(self, core: WDMoECore, rows: np.ndarray) -> None:
        """Keep the blocks that the environments in `rows` have just decided and still hold."""
        for row in rows:
            block, allocation = core.round(row), core.schedule(row)
            self.decided[row] = (block, core.efficiency[:, row].copy(), allocation)
            position = core.layer[row] - 1
            self.latencies[row, position] = latency(block, allocation).total
            self.greedy_latencies[row, position] = latency(block, solve_greedy(block)).total


def current_scene(core: WDMoECore, row: int) -> Scene:
    """The block to show of one environment: the one that the last step decided, after a reset the first one."""
    recorder = core.recorder
    layer = int(core.layer[row])
    decided = layer if core.terminated[row] else max(0, layer - 1)
    unknown = np.full(decided, np.nan)
    latencies = recorder.latencies[row, :decided].copy() if recorder else unknown
    greedy = recorder.greedy_latencies[row, :decided].copy() if recorder else unknown
    last = recorder.decided[row] if recorder else None
    if not decided or last is None:
        return Scene(layer, core.round(row), core.efficiency[:, row].copy(), None, None, latencies, greedy)
    return Scene(decided, *last, int(core.terms["repairs"][row]), latencies, greedy)

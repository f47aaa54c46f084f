"""What a picture of a WDMoE environment needs and the core does not keep: the decided block, and latencies so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dmoe_gym.rendering.episode import EpisodeRecord
from dmoe_gym.wdmoe.config import WDMoEConfig
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


@dataclass(frozen=True, eq=False)
class Decided:
    """A decided block as the core held it; what follows from it is worked out on demand.

    Fields:
        config: of the environment.
        gate_weights: (J, U); gains: (2, U), downlink and uplink.
        selected: (J, U) bool; bandwidth: (U,) [Hz].
    """

    config: WDMoEConfig
    gate_weights: np.ndarray
    gains: np.ndarray
    selected: np.ndarray
    bandwidth: np.ndarray

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


class Recorder:
    """Keeps the decided blocks of every environment's episode.

    A core has one only where a facade with a render mode asked for it (`WDMoECore.record`).

    Attributes:
        blocks: `Decided`, by environment and number.
        efficiency: of the last decided blocks, as seen.
    """

    def __init__(self, core: WDMoECore) -> None:
        self.blocks: EpisodeRecord[Decided] = EpisodeRecord(core.num_envs)
        self.efficiency: dict[int, np.ndarray] = {}

    def keep_round(self, core: WDMoECore, rows: np.ndarray) -> None:
        """Keep the blocks that the environments in `rows` have just decided and still hold."""
        for row in rows.tolist():
            decided = Decided(
                core.config,
                core.gate_weights[row].copy(),
                core.gains[row].copy(),
                core.selected[row].copy(),
                core.bandwidth[row].copy(),
            )
            self.blocks.keep(row, int(core.layer[row]), decided)
            self.efficiency[row] = core.efficiency[:, row].copy()


def current_scene(core: WDMoECore, row: int) -> Scene:
    """The block to show of one environment: the one that the last step decided, after a reset the first one."""
    recorder = core.recorder
    number = core.decided_rounds(row)
    blocks = recorder.blocks if recorder else EpisodeRecord[Decided](core.num_envs)
    latencies = blocks.values(row, number, lambda decided: decided.latency)
    greedy = blocks.values(row, number, lambda decided: decided.greedy_latency)
    last = blocks.get(row, number)
    if recorder is None or last is None:
        return Scene(
            int(core.layer[row]), core.round(row), core.efficiency[:, row].copy(), None, None, latencies, greedy
        )
    repairs = int(core.terms["repairs"][row])
    return Scene(number, last.block, recorder.efficiency[row], last.allocation, repairs, latencies, greedy)

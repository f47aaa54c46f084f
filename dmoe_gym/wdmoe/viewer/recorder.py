"""What a picture of a WDMoE environment needs and the core does not keep: the decided block, and latencies so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dmoe_gym.rendering.recorder import Recorder
from dmoe_gym.wdmoe.config import WDMoEConfig
from dmoe_gym.wdmoe.env.base import WDMoECore
from dmoe_gym.wdmoe.physics.block import Allocation, Block
from dmoe_gym.wdmoe.physics.latency import latency
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
        number = core.decided_rounds(row)
        latencies = self.values(row, number, lambda decided: decided.latency)
        greedy = self.values(row, number, lambda decided: decided.greedy_latency)
        last = self.get(row, number)
        if last is None:
            efficiency = core.efficiency[:, row].copy()
            return Scene(int(core.layer[row]), core.round(row), efficiency, None, None, latencies, greedy)
        repairs = int(core.terms["repairs"][row])
        return Scene(number, last.block, last.efficiency, last.allocation, repairs, latencies, greedy)

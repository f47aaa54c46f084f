"""Experts and bandwidth together, by turns."""

from __future__ import annotations

import numpy as np

from dmoe_gym.wdmoe.physics.block import Allocation, Block
from dmoe_gym.wdmoe.physics.latency import latency
from dmoe_gym.wdmoe.solvers.bandwidth import allocate_bandwidth
from dmoe_gym.wdmoe.solvers.selection import Direction, select_experts, top_k


def solve_joint(block: Block, *, direction: Direction = "below", step: float = 0.02) -> Allocation:
    """WLR selection under the last bandwidths, then the optimal bandwidths of that selection, until latency stays.

    Starts with the gate's choice at its optimal bandwidths, so it is never slower than that. Arguments and errors as
    in `select_experts`.
    """
    bandwidth: np.ndarray | None = None
    best = Allocation(selected := top_k(block), allocate_bandwidth(block, selected))
    least = latency(block, best).total
    while True:
        selected = select_experts(block, bandwidth, direction=direction, step=step)
        bandwidth = allocate_bandwidth(block, selected)
        candidate = Allocation(selected, bandwidth)
        total = latency(block, candidate).total
        if not total < least:
            return best
        best, least = candidate, total

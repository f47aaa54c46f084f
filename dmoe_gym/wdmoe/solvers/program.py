"""Expert selection at a given block latency as a linear program in the selection and in whole tokens per device.

A selection meets a latency T exactly if the bandwidths its devices need for T add up to at most B. The need of a
device is convex in its number of tokens (its inverse, the rate in both directions, is concave in the bandwidth), so it
is the sum of increments that grow: `increments[k, i]` = need of i + 1 tokens less need of i. With z[k, i] in [0, 1]

    minimise   sum increments z
    subject to sum_j selected[j, k] = sum_i z[k, i] ,  1 <= sum_k selected[j, k] <= max_experts ,
               sum selected gate_weights >= budget

has the least bandwidth with which T can be met as its value. With whole-numbered `selected` it is exact; without, a
lower bound on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from dmoe_gym.compiled.njit import njit
from dmoe_gym.wdmoe.physics.block import Block
from dmoe_gym.wdmoe.solvers.bandwidth import needed_bandwidth
from dmoe_gym.wdmoe.solvers.selection import RELEVANCE_TOLERANCE

# An increment of ten whole bands breaks the budget as surely as an infinite one, and keeps the program well scaled.
LARGEST_INCREMENT = 10.0


@dataclass(frozen=True, eq=False)
class Constraints:
    """Rows of the program over the variables (selected row by row, then z device by device).

    Attributes:
        inequality, inequality_limit: matrix @ variables <= limit: at least one expert, at most max_experts, budget.
        equality: matrix @ variables == 0: tokens per device.
    """

    inequality: sparse.csr_array
    inequality_limit: np.ndarray
    equality: sparse.csr_array


def build_constraints(block: Block, relevance: float) -> Constraints:
    """The program's rows for a mean relevance to reach; they do not depend on the latency."""
    tokens, devices = block.gate_weights.shape
    size = tokens * devices
    per_token = sparse.kron(sparse.eye_array(tokens), np.ones((1, devices)))
    weights = sparse.csr_array(block.gate_weights.reshape(1, size))
    left = sparse.vstack([-per_token, per_token, -weights])
    inequality = sparse.hstack([left, sparse.csr_array((2 * tokens + 1, size))]).tocsr()
    limit = np.concatenate(
        [
            np.full(tokens, -1.0),
            np.full(tokens, float(block.config.max_experts)),
            [-tokens * max(0.0, relevance - RELEVANCE_TOLERANCE)],
        ]
    )
    per_device = sparse.kron(np.ones((1, tokens)), sparse.eye_array(devices))
    counted = sparse.kron(sparse.eye_array(devices), np.ones((1, tokens)))
    return Constraints(inequality, limit, sparse.hstack([per_device, -counted]).tocsr())


def bandwidth_increments(block: Block, time: float) -> np.ndarray:
    """Bandwidth that every further token of a device needs to be done by `time` [s], (U, J), in units of B."""
    increments = np.empty(block.gate_weights.shape[::-1])
    _increments(
        block.downlink_cn0,
        block.uplink_cn0,
        block.computation_time,
        block.config.payload_bit,
        block.config.bandwidth_hz,
        time,
        increments,
    )
    return increments


@njit
def _increments(downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, time, increments):
    for k in range(increments.shape[0]):
        last = 0.0
        for i in range(increments.shape[1]):
            if last == np.inf:
                increments[k, i] = LARGEST_INCREMENT
                continue
            need = needed_bandwidth(time / (i + 1), downlink_cn0[k], uplink_cn0[k], computation_time[k], payload)
            increments[k, i] = min((need - last) / total_bandwidth, LARGEST_INCREMENT)
            last = need

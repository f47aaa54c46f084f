"""The exact optimum of experts and bandwidth together, for small blocks."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from dmoe_gym.io.quiet import no_output
from dmoe_gym.wdmoe.physics.block import Allocation, Block
from dmoe_gym.wdmoe.physics.latency import latency
from dmoe_gym.wdmoe.solvers.bandwidth import allocate_bandwidth
from dmoe_gym.wdmoe.solvers.greedy import solve_greedy
from dmoe_gym.wdmoe.solvers.program import bandwidth_increments, build_constraints
from dmoe_gym.wdmoe.solvers.selection import RELEVANCE_TOLERANCE, checked_relevance

# HiGHS stops within 1e-6 of the optimum in absolute terms: an objective in 1e-4 of the band makes that 1e-10 of it
_OBJECTIVE_SCALE = 1e4
_IMPROVEMENT = 1e-9


def solve_exact(block: Block, relevance: float | None = None, *, time_limit_s: float | None = None) -> Allocation:
    """The allocation with the least block latency among all whose mean relevance is at least `relevance`.

    Searches the latency by improvement: at the latency T of the best allocation known, a mixed-integer program finds
    the selection that needs least bandwidth to meet T. If that is not less than B, nothing is faster; otherwise the
    selection found is, and its latency is the next T.

    Args:
        relevance: mean over the tokens; None takes the block's `relevance_budget`.
        time_limit_s: for each mixed-integer program [s]; None waits.

    Raises:
        ValueError: for a relevance that no selection reaches, or a time limit that is not positive.
        TimeoutError: where HiGHS did not prove optimality within the time limit.
    """
    relevance = checked_relevance(block, relevance)
    if time_limit_s is not None and not time_limit_s > 0:
        raise ValueError(f"time_limit_s = {time_limit_s}: valid are positive numbers of seconds")
    options = {"mip_rel_gap": 0.0} | ({} if time_limit_s is None else {"time_limit": time_limit_s})
    tokens, devices = block.gate_weights.shape
    size = tokens * devices
    rows = build_constraints(block, relevance)
    constraints = [
        LinearConstraint(rows.inequality, -np.inf, rows.inequality_limit),
        LinearConstraint(rows.equality, 0, 0),
    ]
    integrality = np.repeat([1, 0], size)  # z follows: its increments grow, and tokens per device are whole
    best = solve_greedy(block, relevance)
    least = latency(block, best).total
    while True:
        objective = np.concatenate([np.zeros(size), _OBJECTIVE_SCALE * bandwidth_increments(block, least).ravel()])
        with no_output():
            result = milp(
                objective,
                integrality=integrality,
                bounds=Bounds(0, 1),
                constraints=constraints,
                options=options,
            )
        if result.status == 1:
            raise TimeoutError(f"HiGHS found no proof of optimality within {time_limit_s} s")
        if result.x is None:
            raise RuntimeError(f"HiGHS stopped without a solution: {result.message}")
        selected = result.x[:size].reshape(tokens, devices) > 0.5
        if block.gate_weights[selected].sum() / tokens < relevance - RELEVANCE_TOLERANCE:
            constraints.append(_excluding(selected))  # within HiGHS' tolerance of the budget, but under it
            continue
        candidate = Allocation(selected, allocate_bandwidth(block, selected))
        total = latency(block, candidate).total
        if total >= least * (1 - _IMPROVEMENT):
            return candidate if total < least else best
        best, least = candidate, total


def _excluding(selected: np.ndarray) -> LinearConstraint:
    """The constraint that a selection differ from this one in at least one place."""
    signs = np.where(selected.ravel(), 1.0, -1.0)
    row = np.concatenate([signs, np.zeros(signs.size)])
    return LinearConstraint(row, -np.inf, selected.sum() - 1)

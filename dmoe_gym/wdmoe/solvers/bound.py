"""A latency that no allocation of equal or greater relevance can beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from dmoe_gym.wdmoe.physics.block import Block
from dmoe_gym.wdmoe.physics.latency import latency
from dmoe_gym.wdmoe.solvers.bandwidth import allocate_bandwidth_block
from dmoe_gym.wdmoe.solvers.greedy import solve_greedy
from dmoe_gym.wdmoe.solvers.program import Constraints, bandwidth_increments, build_constraints
from dmoe_gym.wdmoe.solvers.selection import RELEVANCE_TOLERANCE, checked_relevance

_LARGEST_ROUNDS = 30
_IMPROVEMENT = 1e-7


def lower_bound(block: Block, relevance: float | None = None) -> float:
    """A lower bound [s] on the block latency of every valid allocation whose mean relevance is at least `relevance`.

    The linear program of `program.py` gives prices at a latency T: of relevance and of a token on every device. For
    any prices the Lagrangian, minimised over all selections, bounds the bandwidth needed to meet a latency from
    below, so the latency where it equals B is a bound whatever the linear solver's accuracy. Where T is too short
    for the program, that latency is the next T and the bounds rise to the program's own; where T is too long, the
    next T is the least latency of the program's (fractional) tokens per device.

    Args:
        relevance: mean over the tokens; None takes the block's `relevance_budget`.

    Raises:
        ValueError: for a relevance that no selection reaches.
    """
    relevance = checked_relevance(block, relevance)
    constraints = build_constraints(block, relevance)
    time, bound = latency(block, solve_greedy(block, relevance)).total, 0.0
    for _ in range(_LARGEST_ROUNDS):
        dual = _solve_program(block, constraints, time)
        if dual is None:
            break
        priced = _priced_latency(block, relevance, dual, time)
        converged = priced <= bound * (1 + _IMPROVEMENT) and bound > 0
        bound = max(bound, priced)
        if converged:
            break
        time = priced if dual.value >= 1 else _least_latency(block, dual.tokens)
    return bound


@dataclass(frozen=True, eq=False)
class _Dual:
    """The program solved at one latency: its value [B], prices of relevance and of tokens (U,), tokens (U,)."""

    value: float
    price: float
    device_prices: np.ndarray
    tokens: np.ndarray


def _solve_program(block: Block, constraints: Constraints, time: float) -> _Dual | None:
    increments = bandwidth_increments(block, time)
    result = linprog(
        np.concatenate([np.zeros(increments.size), increments.ravel()]),
        A_ub=constraints.inequality,
        b_ub=constraints.inequality_limit,
        A_eq=constraints.equality,
        b_eq=np.zeros(increments.shape[0]),
        bounds=(0, 1),
        method="highs",
    )
    if result.status != 0:
        return None
    return _Dual(
        value=float(result.fun),
        price=max(0.0, -float(result.ineqlin.marginals[-1])),
        device_prices=-result.eqlin.marginals,
        tokens=result.x[increments.size :].reshape(increments.shape).sum(axis=1),
    )


def _least_latency(block: Block, tokens: np.ndarray) -> float:
    """Block latency at the optimal bandwidths of (fractional) tokens per device [s]."""
    return allocate_bandwidth_block(
        tokens,
        block.downlink_cn0,
        block.uplink_cn0,
        block.computation_time,
        block.config.payload_bit,
        block.config.bandwidth_hz,
        np.zeros(len(tokens)),
    )


def _priced_latency(block: Block, relevance: float, dual: _Dual, time: float) -> float:
    """The largest latency at which the Lagrangian still asks for all of B: a lower bound, found by bisection."""
    # the selection's part does not depend on the latency: per token the cheapest experts, at least one
    costs = np.sort(dual.device_prices - dual.price * block.gate_weights, axis=1)[:, : block.config.max_experts]
    tokens = block.gate_weights.shape[0]
    fixed = costs[:, 0].sum() + np.minimum(costs[:, 1:], 0).sum()
    fixed += dual.price * tokens * max(0.0, relevance - RELEVANCE_TOLERANCE)

    def needs_more(latency_s: float) -> bool:
        """Whether every selection needs more than the whole band; increments grow, so the cheap ones come first."""
        increments = bandwidth_increments(block, latency_s) - dual.device_prices[:, None]
        return bool(np.minimum(increments, 0).sum() + fixed > 1.0 + 1e-9)  # room for rounding

    low, high = time, time
    while not needs_more(low):
        low *= 0.5
        if low < 1e-12 * time:  # worthless prices
            return 0.0
    while needs_more(high):
        high *= 2
    while high - low > 1e-10 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if needs_more(middle) else (low, middle)
    return low

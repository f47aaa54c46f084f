"""The exact optimum of experts and bandwidth together, for small blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from dmoe_gym.compiled.njit import njit
from dmoe_gym.io.extras import no_output
from dmoe_gym.wdmoe.physics.block import Allocation, Block
from dmoe_gym.wdmoe.physics.latency import latency
from dmoe_gym.wdmoe.solvers.bandwidth import allocate_bandwidth, allocate_bandwidth_block, needed_bandwidth
from dmoe_gym.wdmoe.solvers.greedy import solve_greedy
from dmoe_gym.wdmoe.solvers.selection import RELEVANCE_TOLERANCE, checked_relevance

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
    _increments(*block.links, time, increments)
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


_LARGEST_ROUNDS = 30
_CONVERGED = 1e-7
_LITTLE = 1e-6
_ROUNDING = 1e-9  # of the band


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
        converged = priced <= bound * (1 + _CONVERGED) and bound > 0
        bound = max(bound, priced)
        if converged:
            break
        # where a latency takes just the band, its prices say nothing of shorter ones: those of a little less do
        shorter = priced or time * (1 - _LITTLE)
        time = shorter if dual.value >= 1 - _ROUNDING else _least_latency(block, dual.tokens)
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
    return allocate_bandwidth_block(tokens, *block.links, np.zeros(len(tokens)))


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
        return bool(np.minimum(increments, 0).sum() + fixed > 1.0 + _ROUNDING)

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

"""The exact joint optimum of a round: a mixed-integer program solved by HiGHS."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from dmoe_gym.dmoe.physics import Constants, Round, Schedule, cost
from dmoe_gym.dmoe.solvers.assignment import allocate_subcarriers
from dmoe_gym.dmoe.solvers.bound import relaxed_selection
from dmoe_gym.dmoe.solvers.jesa import solve_jesa

# HiGHS meets constraints within 1e-6; relevance is scaled up so that this stays far below any real trade.
_RELEVANCE_SCALE = 1e3


def solve_exact(round: Round, *, time_limit_s: float | None = None) -> Schedule:
    """The schedule of least cost (DESIGN section 3), shortfall priced, over selections and subcarriers jointly.

    Where the lower bound's subcarriers are distinct it is attained and returned at once; otherwise HiGHS solves
    the joint program. One subcarrier per link is optimal, so only such schedules are searched.

    Raises:
        ValueError: if time_limit_s is not positive.
        TimeoutError: if HiGHS did not prove optimality within time_limit_s.
    """
    if time_limit_s is not None and not time_limit_s > 0:
        raise ValueError(f"time_limit_s = {time_limit_s}: valid are positive numbers of seconds")
    selected, bound = relaxed_selection(round)
    relaxed = Schedule(selected, allocate_subcarriers(round, selected))
    if cost(round, relaxed) <= bound * (1 + 1e-12):
        return relaxed
    # rounding inside HiGHS must not leave the answer behind a schedule that is known
    candidates = [_solve_program(round, time_limit_s), solve_jesa(round), relaxed]
    return min(candidates, key=lambda schedule: cost(round, schedule))


def _solve_program(round: Round, time_limit_s: float | None) -> Schedule:
    """Variables: selected x[i,n,j], allocated b[l,c], flow y[l,c], shortfall s[i,n]; links l, candidate subcarriers c.

    minimise    sum transmission / efficiency * y + sum computation * x + price * s
    subject to  C1 x . scores + s >= target, C2, C3, y <= N b, sum_c y[l, c] = sum_n x[l, n]
    """
    config = round.config
    constants = Constants.of(config)
    experts, states, subcarriers = config.num_experts, config.num_states, config.num_subcarriers
    links = [(i, j) for i in range(experts) for j in range(experts) if i != j]
    # a link never needs a subcarrier beyond its best `len(links)`: the other links cannot hold all of those
    depth = min(subcarriers, len(links))
    efficiency = round.spectral_efficiency
    x = np.arange(experts * states * experts).reshape(experts, states, experts)
    allocation: list[tuple[int, int, int]] = []  # (link, subcarrier, index of b); y follows all b
    for link, (i, j) in enumerate(links):
        best = np.argsort(-efficiency[i, j], kind="stable")[:depth]
        allocation += [(link, int(m), 0) for m in best if efficiency[i, j, m] > 0]
    first_b = x.size
    first_y = first_b + len(allocation)
    first_s = first_y + len(allocation)
    size = first_s + experts * states
    objective = np.zeros(size)
    objective[x] = constants.computation
    upper = np.ones(size)
    link_of = np.array([entry[0] for entry in allocation], int)
    subcarrier_of = np.array([entry[1] for entry in allocation], int)
    source = np.array([links[link][0] for link in link_of], int)
    destination = np.array([links[link][1] for link in link_of], int)
    b = first_b + np.arange(len(allocation))
    y = first_y + np.arange(len(allocation))
    s = first_s + np.arange(experts * states)
    objective[y] = constants.transmission / efficiency[source, destination, subcarrier_of]
    objective[s] = constants.shortfall_price
    upper[y] = states
    flat = x.reshape(-1, experts)
    state_rows = np.repeat(np.arange(len(flat)), experts)
    link_rows = np.repeat(np.arange(len(links)), states)
    link_x = np.concatenate([x[i, :, j] for i, j in links])
    ones = np.ones
    constraints = [
        _rows(
            size,
            [
                (state_rows, flat.ravel(), round.gate_scores.ravel() * _RELEVANCE_SCALE),
                (np.arange(len(flat)), s, np.full(len(flat), _RELEVANCE_SCALE)),
            ],
            round.attainable_threshold.ravel() * _RELEVANCE_SCALE,
            np.inf,
        ),
        _rows(size, [(state_rows, flat.ravel(), ones(flat.size))], 1, config.max_experts),
        _rows(size, [(subcarrier_of, b, ones(len(b)))], -np.inf, 1, rows=subcarriers),
        _rows(
            size, [(np.arange(len(y)), y, ones(len(y))), (np.arange(len(y)), b, np.full(len(b), -states))], -np.inf, 0
        ),
        _rows(size, [(link_of, y, ones(len(y))), (link_rows, link_x, -ones(len(link_x)))], 0, 0, rows=len(links)),
        # one subcarrier per link is optimal: said aloud it halves the search
        _rows(size, [(link_of, b, ones(len(b)))], -np.inf, 1, rows=len(links)),
    ]
    integrality = np.zeros(size)
    integrality[:first_y] = 1
    options: dict[str, float] = {"mip_rel_gap": 1e-9}
    if time_limit_s is not None:
        options["time_limit"] = time_limit_s
    result = milp(objective, constraints=constraints, integrality=integrality, bounds=Bounds(0, upper), options=options)
    if result.status == 1:
        raise TimeoutError(f"HiGHS found no proof of optimality within {time_limit_s} s")
    if result.x is None:
        raise RuntimeError(f"HiGHS stopped without a solution: {result.message}")
    selected = result.x[x] > 0.5
    # the program's own subcarriers, once more as an exact assignment
    return Schedule(selected, allocate_subcarriers(round, selected))


def _rows(size, entries, lower, upper, rows=None) -> LinearConstraint:
    """A sparse linear constraint from (row indices, column indices, coefficients) triples."""
    row, column, value = (np.concatenate([np.asarray(entry[part]) for entry in entries]) for part in range(3))
    count = rows if rows is not None else int(row.max()) + 1
    return LinearConstraint(coo_array((value, (row, column)), shape=(count, size)).tocsr(), lower, upper)

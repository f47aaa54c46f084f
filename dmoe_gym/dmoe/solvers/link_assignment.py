"""Subcarriers for the links of a selection when every link's best one is known: mostly nothing is left to search.

The method is that of `linear_assignment`, with a link's costs computed when they are first asked for: links whose best
subcarrier nobody else wants need none.
"""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit, njit_allocating, njit_no_refcount
from dmoe_gym.dmoe.solvers.linear_assignment import STEPS_PER_CONFLICT, augment, bid

# A subcarrier without rate is as good as this [bit/s/Hz]: its cost is finite, and nobody takes it who has a choice.
LEAST_EFFICIENCY = 1e-6


@njit_no_refcount
def survey_links(efficiency, best, second, route):
    """Largest and second largest efficiency of every link, and the subcarrier of the largest, into (K, K) arrays.

    Args:
        efficiency: (K, K, M) float32, not negative. One subcarrier alone has no second: 0.
    """
    experts, _, subcarriers = efficiency.shape
    for i in range(experts):
        for j in range(experts):
            if i == j:
                continue
            # read as whole numbers they have the same order, and the compiler makes vector code of it
            bits = efficiency[i, j].view(np.int32)
            most = _largest(bits, 0, subcarriers)
            where = 0
            while bits[where] != most:
                where += 1
            more = max(_largest(bits, 0, where), _largest(bits, where + 1, subcarriers))
            best[i, j] = efficiency[i, j, where]
            second[i, j] = np.int32(more).view(np.float32)
            route[i, j] = where


@njit_no_refcount
def _largest(bits, first, last):
    largest = np.int32(0)
    for index in range(first, last):
        largest = max(largest, bits[index])
    return largest


@njit_no_refcount
def _price(load, rates, cost):
    """cost[m] = load / rate."""
    for m in range(cost.shape[0]):
        cost[m] = load / max(np.float64(rates[m]), LEAST_EFFICIENCY)


@njit
def new_assignment(most, subcarriers):
    """Workspace of `assign_links` for `most` links at most, M at most, of which the last is filled when needed."""
    rows = min(most, subcarriers)
    return (
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
        np.empty(subcarriers, np.int64),
        np.empty(rows, np.bool_),
        np.empty(subcarriers),
        np.empty((rows, subcarriers)),
    )


@njit_no_refcount
def assign_links(payload, efficiency, route, workspace, subcarrier):
    """The least-energy subcarriers of the links with payload, at most M of them; return how many left their best one.

    Args:
        payload: (K, K) hidden states per link, 0 on the diagonal.
        efficiency: (K, K, M); route: (K, K) every link's best subcarrier.
        workspace: of `new_assignment`.
        subcarrier: (K, K) output, -1 for a link without payload.
    """
    links, column_of_row, waiting, row_of_column, known, column_price, cost = workspace
    experts = payload.shape[0]
    row_of_column[:] = -1
    active = conflicts = 0
    for i in range(experts):
        for j in range(experts):
            subcarrier[i, j] = -1
            if payload[i, j] > 0:
                links[active] = i * experts + j
                best = route[i, j]
                if row_of_column[best] < 0:
                    row_of_column[best] = active
                    column_of_row[active] = best
                else:
                    column_of_row[active] = -1
                    waiting[conflicts] = active
                    conflicts += 1
                active += 1
    moved = 0
    if conflicts > 0:
        known[:active] = False
        column_price[:] = 0.0
        _resolve(
            payload, efficiency, links[:active], waiting[:conflicts], column_of_row[:active], row_of_column,
            known, column_price, cost[:active],
        )  # fmt: skip
    for row in range(active):
        i, j = links[row] // experts, links[row] % experts
        subcarrier[i, j] = column_of_row[row]
        moved += column_of_row[row] != route[i, j]
    return moved


@njit_no_refcount
def _resolve(payload, efficiency, links, waiting, column_of_row, row_of_column, known, column_price, cost):
    """`linear_assignment.assign_rows` from where every row has its cheapest column or waits for it."""
    experts = efficiency.shape[0]
    steps = STEPS_PER_CONFLICT * len(waiting)
    without = 0
    for row in waiting:
        while row >= 0 and steps > 0:
            steps -= 1
            if not known[row]:
                known[row] = True
                i, j = links[row] // experts, links[row] % experts
                _price(np.float64(payload[i, j]), efficiency[i, j], cost[row])
            rival = bid(row, cost, column_price, column_of_row, row_of_column)
            if rival == row:
                break
            row = rival
        if row >= 0:
            column_of_row[row] = -1
            without += 1
    if without > 0:
        _find_paths(payload, efficiency, links, column_of_row, row_of_column, known, column_price, cost)


@njit_allocating
def _find_paths(payload, efficiency, links, column_of_row, row_of_column, known, column_price, cost):
    """A shortest augmenting path for every row that `_resolve` left without a column: seldom."""
    experts, _, subcarriers = efficiency.shape
    rows = len(links)
    row_price = np.zeros(rows)
    for row in range(rows):
        if not known[row]:
            i, j = links[row] // experts, links[row] % experts
            _price(np.float64(payload[i, j]), efficiency[i, j], cost[row])
        column = column_of_row[row]
        if column >= 0:
            row_price[row] = cost[row, column] - column_price[column]
    origin, remaining = np.empty(subcarriers, np.int64), np.empty(subcarriers, np.int64)
    augment(cost, row_price, column_price, column_of_row, row_of_column, np.empty(subcarriers), origin, remaining)

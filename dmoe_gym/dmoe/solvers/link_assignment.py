"""Subcarriers for the links of a selection when every link's best one is known: mostly nothing is left to search.

The method is that of `linear_assignment`, with a link's costs computed when they are first asked for: links whose best
subcarrier nobody else wants need none."""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit, njit_allocating, njit_no_refcount
from dmoe_gym.dmoe.solvers.des_kernel import search
from dmoe_gym.dmoe.solvers.linear_assignment import STEPS_PER_CONFLICT, augment, bid


@njit_no_refcount
def rank_links(i, preference, candidates):
    """The node's links of highest preference, the highest first, into candidates (C,); ties go to the first expert."""
    filled = 0
    for j in range(preference.shape[0]):
        if j == i:
            continue
        if filled < len(candidates):
            slot = filled
            filled += 1
        elif preference[j] > preference[candidates[filled - 1]]:
            slot = filled - 1
        else:
            continue
        while slot > 0 and preference[candidates[slot - 1]] < preference[j]:
            candidates[slot] = candidates[slot - 1]
            slot -= 1
        candidates[slot] = j


@njit_no_refcount
def value_sets(i, scores, energies, required, price, limit, candidates, values, floats, ints, draft, chosen):
    """Least cost of one hidden state of node i by set of usable links, into values (2**C,).

    Args:
        scores, energies: (K,); energies of one hidden state at every expert.
        required: relevance asked for, attainable; price: of a unit of shortfall.
        limit: D.
        candidates: (C,) experts; bit c of a set is the link to candidates[c]. The own expert can always be used.
        floats, ints, draft, chosen: workspaces of `search`, (K,) float64 and (K,) bool, used where D > 2.
    """
    count = len(candidates)
    sets = 1 << count
    if limit > 2:
        for links in range(sets):
            draft[:] = np.inf
            draft[i] = energies[i]
            for c in range(count):
                if links >> c & 1:
                    draft[candidates[c]] = energies[candidates[c]]
            search(scores, draft, required, limit, price, chosen, floats, ints)
            served = cost = 0.0
            for j in range(len(scores)):
                if chosen[j]:
                    cost += energies[j]
                    served += scores[j]
            values[links] = cost + price * max(0.0, required - served)
        return
    own_energy, own_score = energies[i], np.float64(scores[i])
    own = own_energy + price * max(0.0, required - own_score)
    values[0] = own
    # by ascending highest bit: what the lower links offer together is known when the next one joins
    for c in range(count):
        energy, missing = energies[candidates[c]], required - scores[candidates[c]]
        alone = energy + price * max(0.0, missing)
        if limit > 1:
            alone = min(alone, energy + own_energy + price * max(0.0, missing - own_score))
        bit = 1 << c
        values[bit] = min(own, alone)
        for b in range(c):
            pair = np.inf
            if limit > 1:
                other = candidates[b]
                pair = energy + energies[other] + price * max(0.0, missing - scores[other])
            low = 1 << b
            # sets of c, b and links below b: without b, without c, or both of them, which are all that D allows
            for rest in range(low):
                values[bit + low + rest] = min(pair, values[bit + rest], values[low + rest])


@njit_no_refcount
def share_subcarriers(node_values, subcarriers, table, best, taken):
    """How many links every node gets, into taken (K,), for the least sum of node_values[i, links of i].

    Args:
        node_values: (K, C + 1) least cost of every node by its number of links; `subcarriers` links in all at most.
        table, best: (K, subcarriers + 1) int64 and (subcarriers + 1,) float64 workspaces.
    """
    nodes, most = node_values.shape[0], node_values.shape[1] - 1
    best[:] = 0.0
    for i in range(nodes):
        # in place from above: what nodes before i cost with fewer subcarriers is still there
        for m in range(subcarriers, -1, -1):
            least, links = best[m] + node_values[i, 0], 0
            for count in range(1, min(m, most) + 1):
                value = best[m - count] + node_values[i, count]
                better = value < least
                least = value if better else least
                links = count if better else links
            best[m] = least
            table[i, m] = links
    left = subcarriers
    for i in range(nodes - 1, -1, -1):
        taken[i] = table[i, left]
        left -= taken[i]


@njit
def new_knapsack(experts, subcarriers, candidates):
    """What `choose_links` needs beside its arguments, for C candidates."""
    sets = 1 << candidates
    return (
        np.empty((experts, candidates), np.int64),
        np.empty(sets),
        np.empty(sets),
        np.empty((experts, candidates + 1)),
        np.zeros((experts, candidates + 1), np.int64),
        np.empty((experts, subcarriers + 1), np.int64),
        np.empty(experts, np.int64),
        np.empty(subcarriers + 1),
        np.empty(experts),
        np.empty(experts, np.bool_),
    )


@njit_no_refcount
def choose_links(
    gate_scores, energies, required, price, limit, preference, subcarriers, workspace, floats, ints, open_links
):  # fmt: skip
    """The links that may get a subcarrier, at most `subcarriers` of them, into open_links (K, K) bool.

    Args:
        gate_scores: (K, N, K); energies: (K, K) of one hidden state of node i at expert j.
        required: (K, N) attainable relevance asked for; price: of a unit of shortfall; limit: D.
        preference: (K, K); of each node's links only the C of highest preference are looked at.
        workspace: of `new_knapsack`; floats, ints: of `search`.
    """
    experts, states, _ = gate_scores.shape
    links, values, total, node_values, node_sets, table, taken, best, draft, chosen = workspace
    candidates, sets = links.shape[1], len(values)
    for i in range(experts):
        rank_links(i, preference[i], links[i])
        total[:] = 0.0
        for n in range(states):
            value_sets(
                i, gate_scores[i, n], energies[i], required[i, n], price, limit, links[i], values, floats, ints, draft,
                chosen,
            )  # fmt: skip
            for s in range(sets):
                total[s] += values[s]
        node_values[i] = np.inf
        for s in range(sets):
            count = 0
            rest = s
            while rest:
                rest &= rest - 1
                count += 1
            if total[s] < node_values[i, count]:
                node_values[i, count] = total[s]
                node_sets[i, count] = s
    share_subcarriers(node_values, subcarriers, table, best, taken)
    open_links[:] = False
    for i in range(experts):
        for c in range(candidates):
            open_links[i, links[i, c]] = node_sets[i, taken[i]] >> c & 1


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

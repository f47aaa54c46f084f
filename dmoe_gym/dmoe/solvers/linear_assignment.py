"""The linear assignment problem, compiled: rows to distinct columns at least cost.

SciPy's solver cannot be called from compiled code. Here is the method of Jonker and Volgenant ("A shortest augmenting
path algorithm for dense and sparse linear assignment problems", 1987): cheapest columns first, then augmenting row
reduction for the rows that lost theirs, then shortest augmenting paths for what is left. The tests hold it against
`scipy.optimize.linear_sum_assignment`."""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit, njit_no_refcount
from dmoe_gym.config import checked_bool_array
from dmoe_gym.dmoe.physics import Round

# Steps of row reduction for every row that lost its column: they nearly always suffice, and bound the time where ties
# or rounding would let rows take a column from each other for long.
STEPS_PER_CONFLICT = 16


@njit
def assign_rows(cost, rows, column_of_row, row_of_column):
    """Minimum-cost assignment of rows 0..rows-1 to distinct columns (rows <= columns).

    Rows whose cheapest columns differ are assigned at once, so nothing is searched where the best subcarriers are
    already distinct.

    Args:
        cost: (>= rows, columns) float64, finite and not negative, rows contiguous.
        column_of_row, row_of_column: int64 outputs; -1 for a column left free.
    """
    columns = cost.shape[1]
    floats = np.empty((3, columns))
    ints = np.empty((3, columns), np.int64)
    _assign(cost, rows, column_of_row, row_of_column, floats, ints)


@njit_no_refcount
def _assign(cost, rows, column_of_row, row_of_column, floats, ints):
    """`assign_rows` with workspaces (3, columns)."""
    waiting = ints[0]
    conflicts = 0
    for column in range(cost.shape[1]):
        row_of_column[column] = -1
    for row in range(rows):
        best = _least(cost[row])
        if row_of_column[best] < 0:
            row_of_column[best] = row
            column_of_row[row] = best
        else:
            column_of_row[row] = -1
            waiting[conflicts] = row
            conflicts += 1
    if conflicts == 0:
        return
    # prices only ever fall, and only those of columns that are taken: those of free columns stay 0
    column_price = floats[0]
    for column in range(cost.shape[1]):
        column_price[column] = 0.0
    if _reduce_rows(cost, waiting[:conflicts], column_price, column_of_row, row_of_column) > 0:
        row_price = floats[1]
        for row in range(rows):
            column = column_of_row[row]
            row_price[row] = cost[row, column] - column_price[column] if column >= 0 else 0.0
        augment(cost, row_price[:rows], column_price, column_of_row, row_of_column, floats[2], ints[1], ints[2])


@njit_no_refcount
def _least_bits(bits):
    """The least of some whole numbers; a loop of its own, or the compiler makes no vector code of it."""
    least = bits[0]
    for index in range(1, bits.shape[0]):
        least = min(least, bits[index])
    return least


@njit_no_refcount
def _least(values):
    """The index of the least of non-negative float64 numbers: read as whole numbers they have the same order."""
    bits = values.view(np.int64)
    least = _least_bits(bits)
    index = 0
    while bits[index] != least:
        index += 1
    return index


@njit_no_refcount(fastmath={"nnan", "nsz"})
def two_least(cost, price):
    """The least and the second least of cost - price (columns,); the same where two are equal.

    Four quarters side by side, for each comparison waits for the one before it: twice as fast.
    """
    columns = cost.shape[0]
    quarter = columns // 4
    a = b = c = d = np.inf
    second_a = second_b = second_c = second_d = np.inf
    for index in range(quarter):
        value = cost[index] - price[index]
        second_a = min(second_a, max(a, value))
        a = min(a, value)
        value = cost[index + quarter] - price[index + quarter]
        second_b = min(second_b, max(b, value))
        b = min(b, value)
        value = cost[index + 2 * quarter] - price[index + 2 * quarter]
        second_c = min(second_c, max(c, value))
        c = min(c, value)
        value = cost[index + 3 * quarter] - price[index + 3 * quarter]
        second_d = min(second_d, max(d, value))
        d = min(d, value)
    for index in range(4 * quarter, columns):
        value = cost[index] - price[index]
        second_a = min(second_a, max(a, value))
        a = min(a, value)
    second_a, a = min(second_a, second_b, max(a, b)), min(a, b)
    second_c, c = min(second_c, second_d, max(c, d)), min(c, d)
    return min(a, c), min(second_a, second_c, max(a, c))


@njit_no_refcount
def bid(row, cost, column_price, column_of_row, row_of_column):
    """Give a row its column of least reduced cost, lowering that column's price to the second least.

    Returns the row that had the column, -1 if none had it, or the row itself if it has no reason to take it from one.
    """
    least, second = two_least(cost[row], column_price)
    column = 0
    while cost[row, column] - column_price[column] != least:
        column += 1
    rival = row_of_column[column]
    if rival >= 0 and not least < second:
        return row
    column_price[column] -= second - least
    row_of_column[column] = row
    column_of_row[row] = column
    return rival


@njit_no_refcount
def _reduce_rows(cost, waiting, column_price, column_of_row, row_of_column):
    """Give every waiting row its column of least reduced cost, lowering that column's price to the second least.

    The row that had the column waits in its place. Returns how many rows are left without a column.
    """
    steps = STEPS_PER_CONFLICT * waiting.shape[0]
    without = 0
    for row in waiting:
        while row >= 0 and steps > 0:
            steps -= 1
            rival = bid(row, cost, column_price, column_of_row, row_of_column)
            if rival == row:
                break
            row = rival
        if row >= 0:
            column_of_row[row] = -1
            without += 1
    return without


@njit_no_refcount
def augment(cost, row_price, column_price, column_of_row, row_of_column, distance, origin, remaining):
    """A shortest augmenting path for every row without a column, under prices that no reduced cost undercuts.

    `distance`, `origin` and `remaining` are workspaces (columns,).
    """
    rows, columns = row_price.shape[0], column_price.shape[0]
    for start in range(rows):
        if column_of_row[start] >= 0:
            continue
        for column in range(columns):
            distance[column] = np.inf
            remaining[column] = column
        left = columns
        row = start
        reached = 0.0
        sink = -1
        while sink < 0:
            lowest = np.inf
            nearest = 0
            offset = reached - row_price[row]
            for slot in range(left):
                column = remaining[slot]
                through = offset + cost[row, column] - column_price[column]
                if through < distance[column]:
                    distance[column] = through
                    origin[column] = row
                if distance[column] < lowest or (distance[column] == lowest and row_of_column[column] < 0):
                    lowest = distance[column]
                    nearest = slot
            reached = lowest
            column = remaining[nearest]
            left -= 1
            # the visited columns end up behind `left`, the last visited first
            remaining[nearest] = remaining[left]
            remaining[left] = column
            if row_of_column[column] < 0:
                sink = column
            else:
                row = row_of_column[column]
        row_price[start] += reached
        for slot in range(left, columns):
            column = remaining[slot]
            if column != sink:
                row_price[row_of_column[column]] += reached - distance[column]
            column_price[column] -= reached - distance[column]
        column = sink
        while True:
            row = origin[column]
            row_of_column[column] = row
            previous = column_of_row[row]
            column_of_row[row] = column
            if row == start:
                break
            column = previous


@njit_no_refcount
def _price_links(sources, destinations, payload, efficiency, slot_states, cost, delivers):
    """cost[link, m] = payload / rate, infinite without a rate; delivers[link, m]: is it delivered in the slot?

    Returns:
        do all subcarriers deliver all links' payload?
    """
    everything = True
    for link in range(cost.shape[0]):
        i, j = sources[link], destinations[link]
        everything &= _price_link(payload[i, j], efficiency[i, j], slot_states, cost[link], delivers[link])
    return everything


@njit_no_refcount
def _price_link(payload, efficiency, slot_states, cost, delivers):
    load = np.float64(payload)
    everything = True
    for m in range(cost.shape[0]):
        rate = np.float64(efficiency[m])
        cost[m] = load / rate
        delivered = (rate > 0) & (load <= slot_states * rate)
        delivers[m] = delivered
        everything &= delivered
    return everything


@njit
def allocate(payload, efficiency, weights, slot_states, subcarrier):
    """Give every active link (payload > 0, i != j) its subcarrier; where they run out, drop the lightest links.

    Args:
        payload: (K, K) hidden states per link.
        efficiency: (K, K, M) spectral efficiency [bit/s/Hz].
        weights: (K, K) what a link is worth; links of least weight are dropped.
        slot_states: hidden states per bit/s/Hz that a link delivers in the slot; infinite without a slot.
        subcarrier: (K, K) int64 output, -1 for a link without one.

    Returns:
        the number of links that wanted a subcarrier and got none (dropped, or without the rate).
    """
    experts, _, subcarriers = efficiency.shape
    sources = np.empty(experts * experts, np.int64)
    destinations = np.empty(experts * experts, np.int64)
    active = 0
    for i in range(experts):
        for j in range(experts):
            subcarrier[i, j] = -1
            if i != j and payload[i, j] > 0:
                sources[active] = i
                destinations[active] = j
                active += 1
    dropped = 0
    while active > subcarriers:
        lightest = 0
        for link in range(1, active):
            if weights[sources[link], destinations[link]] < weights[sources[lightest], destinations[lightest]]:
                lightest = link
        active -= 1
        for link in range(lightest, active):
            sources[link] = sources[link + 1]
            destinations[link] = destinations[link + 1]
        dropped += 1
    if active == 0:
        return dropped
    cost = np.empty((active, subcarriers))
    delivers = np.empty((active, subcarriers), np.bool_)
    if not _price_links(sources, destinations, payload, efficiency, slot_states, cost, delivers):
        dearest = 0.0
        for link in range(active):
            for m in range(subcarriers):
                if delivers[link, m]:
                    dearest = max(dearest, cost[link, m])
        # a subcarrier that does not deliver is dearer than all links together, but no more: rounding would swamp the
        # real costs
        useless = active * dearest + 1.0
        for link in range(active):
            for m in range(subcarriers):
                if not delivers[link, m]:
                    cost[link, m] = useless
    column_of_row = np.empty(active, np.int64)
    row_of_column = np.empty(subcarriers, np.int64)
    assign_rows(cost, active, column_of_row, row_of_column)
    for link in range(active):
        i, j, m = sources[link], destinations[link], column_of_row[link]
        if delivers[link, m]:
            subcarrier[i, j] = m
        else:
            dropped += 1
    return dropped


@njit_no_refcount
def count_payload(gate_scores, selected, payload, weights):
    """Hidden states (payload) and relevance (weights) that every link (i, j) carries, into two (K, K) arrays."""
    experts, states, _ = selected.shape
    for i in range(experts):
        for j in range(experts):
            payload[i, j] = 0
            weights[i, j] = 0.0
            for n in range(states):
                if selected[i, n, j]:
                    payload[i, j] += 1
                    weights[i, j] += gate_scores[i, n, j]


def allocate_subcarriers(round: Round, selected: np.ndarray) -> np.ndarray:
    """The least-energy allocation for a fixed selection (arXiv 2503.13421: an assignment problem).

    Where more links carry payload than there are subcarriers, the links that carry the least relevance get none:
    their payload violates C4 until the selection gives them up, as every scheduler here does. So do links that
    could not deliver their payload in the slot over the subcarrier left to them.

    Args:
        round: the round.
        selected: (K, N, K) bool.

    Returns:
        allocated: (K, K, M) bool, at most one subcarrier per link and one link per subcarrier.

    Raises:
        ValueError: if `selected` has another shape or other entries.
    """
    chosen = checked_bool_array("selected", selected, round.gate_scores.shape)
    experts = round.config.num_experts
    payload = np.empty((experts, experts), np.int64)
    weights = np.empty((experts, experts))
    subcarrier = np.empty((experts, experts), np.int64)
    count_payload(round.gate_scores, chosen, payload, weights)
    allocate(payload, round.spectral_efficiency, weights, round.config.slot_states, subcarrier)
    return subcarrier[..., None] == np.arange(round.config.num_subcarriers)

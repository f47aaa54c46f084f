"""Optimal subcarriers for a fixed selection: a linear assignment of active links to subcarriers.

For a fixed selection one subcarrier per link is optimal: P0 |S| s / sum_S r >= P0 s / max_S r (docs/dmoe.md).
"""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit, njit_no_refcount
from dmoe_gym.dmoe.physics import Round
from dmoe_gym.dmoe.solvers.linear_assignment import assign_rows
from dmoe_gym.validation import checked_bool_array


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

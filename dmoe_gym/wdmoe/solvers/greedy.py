"""Selection by relevance per bandwidth: the cheapest way to spend the relevance that the budget leaves over."""

from __future__ import annotations

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit, serial_or_parallel
from dmoe_gym.wdmoe.physics.block import Allocation, Block
from dmoe_gym.wdmoe.physics.latency import latency
from dmoe_gym.wdmoe.solvers.bandwidth import allocate_bandwidth, allocate_bandwidth_block, needed_bandwidth
from dmoe_gym.wdmoe.solvers.selection import Direction, checked_relevance, select_experts, top_k


def solve_greedy(block: Block, relevance: float | None = None) -> Allocation:
    """Start with the gate's choice; repeat the one change that frees most bandwidth per relevance lost.

    A change takes an expert from a token or gives the token to another device instead. What it frees is priced at the
    present block latency: a device's need with and without the token. The bandwidths are optimal before every change,
    and the changes end where none frees bandwidth and keeps the mean relevance (this project's method; the greedy
    rule of the knapsack problem).

    Args:
        relevance: least mean relevance; None takes the block's `relevance_budget`.

    Raises:
        ValueError: for a relevance that no selection reaches.
    """
    relevance = checked_relevance(block, relevance)
    selected = top_k(block)
    bandwidth = np.zeros(block.config.num_devices)
    solve_greedy_block(block.gate_weights, *block.links, relevance, selected, bandwidth)
    return Allocation(selected, bandwidth)


@serial_or_parallel(entries_per_round=16)
def solve_greedy_batch(
    gate_weights,
    downlink_cn0,
    uplink_cn0,
    computation_time,
    payload,
    total_bandwidth,
    budget,
    selected,
    bandwidth,
    latency,
):
    """`solve_greedy_block` of a batch: (B, J, U) gate weights and selections, (B, U) links, (B,) budget and latency.

    `selected` holds the gate's choice on entry. Arrays are trusted, not checked.
    """
    for row in prange(gate_weights.shape[0]):
        latency[row] = solve_greedy_block(
            gate_weights[row],
            downlink_cn0[row],
            uplink_cn0[row],
            computation_time[row],
            payload,
            total_bandwidth,
            budget[row],
            selected[row],
            bandwidth[row],
        )


@njit
def solve_greedy_block(
    gate_weights, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, budget, selected, bandwidth
):
    """Change `selected` (J, U) bool in place, write `bandwidth` (U,) [Hz], return the block latency [s]."""
    count, devices = gate_weights.shape
    tokens = np.zeros(devices)
    spare = -budget * count
    for j in range(count):
        for u in range(devices):
            if selected[j, u]:
                tokens[u] += 1.0
                spare += gate_weights[j, u]
    freed, needed = np.zeros(devices), np.zeros(devices)
    total = allocate_bandwidth_block(
        tokens, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, bandwidth
    )
    while True:
        for u in range(devices):
            freed[u], needed[u] = 0.0, np.inf
            less = 0.0
            if tokens[u] > 1.0:
                less = needed_bandwidth(
                    total / (tokens[u] - 1.0), downlink_cn0[u], uplink_cn0[u], computation_time[u], payload
                )
            freed[u] = bandwidth[u] - less
            more = needed_bandwidth(
                total / (tokens[u] + 1.0), downlink_cn0[u], uplink_cn0[u], computation_time[u], payload
            )
            needed[u] = more - bandwidth[u]
        token, source, target = _best_change(gate_weights, selected, freed, needed, spare, 1e-9 * total_bandwidth)
        if token < 0:
            return total
        selected[token, source] = False
        tokens[source] -= 1.0
        spare -= gate_weights[token, source]
        if target >= 0:
            selected[token, target] = True
            tokens[target] += 1.0
            spare += gate_weights[token, target]
        before = total
        total = allocate_bandwidth_block(
            tokens, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, bandwidth
        )
        # where computation dwarfs transmission, rounding frees bandwidth both by a change and by its undoing
        if not total < before:
            return total


@njit
def _best_change(gate_weights, selected, freed, needed, spare, least):
    """(token, device it leaves, device it goes to or -1) that frees most bandwidth per relevance lost; token -1: none.

    `freed`, `needed` (U,): bandwidth that a device's last token frees, its next one needs [Hz]; only changes that free
    more than `least` count, which ends the search.
    """
    token, source, target, best, best_loss = -1, -1, -1, 0.0, 1.0
    for j in range(gate_weights.shape[0]):
        serving = 0
        for u in range(gate_weights.shape[1]):
            serving += selected[j, u]
        for u in range(gate_weights.shape[1]):
            if not selected[j, u]:
                continue
            for v in range(-1, gate_weights.shape[1]):
                if v == -1:
                    if serving < 2:
                        continue
                    gain, loss = freed[u], gate_weights[j, u]
                else:
                    if selected[j, v]:
                        continue
                    gain, loss = freed[u] - needed[v], gate_weights[j, u] - gate_weights[j, v]
                if gain <= least or loss > spare:
                    continue
                loss = max(loss, 1e-12)  # changes that lose nothing come first, the one that frees most leading
                if gain * best_loss > best * loss:
                    token, source, target, best, best_loss = j, u, v, gain, loss
    return token, source, target


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

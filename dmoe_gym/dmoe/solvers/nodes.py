"""What one node does alone: its own hidden states over the subcarriers that it may use, each at a toll."""

from __future__ import annotations

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit, serial_or_parallel
from dmoe_gym.dmoe.physics.terms import repriced
from dmoe_gym.dmoe.solvers.repair import LEAST_SAVING
from dmoe_gym.dmoe.solvers.value_greedy import new_workspace, node_cost, priced


@njit
def plan_node(i, gate_scores, efficiency, threshold, tolls, constants, selected, subcarrier, worth, taken, workspace):
    """Add the link and subcarrier that save most after their toll until none does; return cost and tolls.

    Every step chooses the experts of all hidden states anew by DES, shortfall priced. Arrays are of all nodes; only
    node i's part is read and written.

    Args:
        gate_scores: (K, N, K); efficiency: (K, K, M) [bit/s/Hz].
        tolls: (K, M) of node i's links over every subcarrier [E_ref / (K N D)], infinite where one is closed.
        selected, subcarrier: (K, N, K) and (K, K) outputs; worth: (K, K) likewise, what every link saved when it was
            added, its toll not taken off.
        taken: (M,) bool workspace; workspace: of `value_greedy.new_workspace`.
    """
    experts, subcarriers = efficiency.shape[1], efficiency.shape[2]
    subcarrier[i] = -1
    worth[i] = 0.0
    taken[:] = False
    paid = 0.0
    cost = node_cost(i, gate_scores, efficiency, subcarrier, threshold, constants, selected, workspace)
    while True:
        most, joined, route = LEAST_SAVING, -1, -1
        for j in range(experts):
            if j == i or subcarrier[i, j] >= 0:
                continue
            best, m = np.inf, -1
            for candidate in range(subcarriers):
                rate = efficiency[i, j, candidate]
                if not taken[candidate] and rate > 0:
                    price = constants.transmission / rate + tolls[j, candidate]
                    if price < best:
                        best, m = price, candidate
            if m < 0:
                continue
            subcarrier[i, j] = m
            with_link = node_cost(i, gate_scores, efficiency, subcarrier, threshold, constants, selected, workspace)
            subcarrier[i, j] = -1
            saving = cost - with_link - tolls[j, m]
            if saving > most:
                most, joined, route = saving, j, m
        if joined < 0:
            break
        subcarrier[i, joined] = route
        taken[route] = True
        worth[i, joined] = most + tolls[joined, route]
        paid += tolls[joined, route]
        cost -= worth[i, joined]
    cost = node_cost(i, gate_scores, efficiency, subcarrier, threshold, constants, selected, workspace)
    for j in range(experts):
        used = False
        for n in range(selected.shape[1]):
            used |= selected[i, n, j]
        if not used and subcarrier[i, j] >= 0:
            paid -= tolls[j, subcarrier[i, j]]
            subcarrier[i, j] = -1
    return cost + paid


@serial_or_parallel
def plan_nodes(gate_scores, efficiency, thresholds, prices, tolls, constants, selected, subcarrier, worth):
    """`plan_node` of every node of a batch of rounds; the first argument is the number of rounds.

    Args:
        prices: (B, K, K) factors on what node i believes expert j's computation to take.
        tolls: (B, K, K, M); others as in `plan_node`, the rounds along the first axis.
    """
    soft = priced(constants)
    for row in prange(gate_scores.shape[0]):
        experts = gate_scores.shape[1]
        workspace = new_workspace(experts, constants.max_experts)
        taken = np.empty(efficiency.shape[3], np.bool_)
        for i in range(experts):
            own = repriced(soft, soft.computation * prices[row, i], soft.shortfall_price, soft.selection_price)
            plan_node(
                i, gate_scores[row], efficiency[row], np.float64(thresholds[row]), tolls[row, i], own, selected[row],
                subcarrier[row], worth[row], taken, workspace,
            )  # fmt: skip

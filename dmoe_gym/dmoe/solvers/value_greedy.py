"""Value-greedy scheduling where subcarriers are scarce, and a local search on top (this project's choice).

A link is worth what its source node's hidden states save by it when they choose again, shortfall priced. The link and
subcarrier of most worth are added until none has any; then subcarriers are assigned optimally and experts reselected.
"""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit
from dmoe_gym.dmoe.physics import Round, Schedule
from dmoe_gym.dmoe.physics.terms import attainable, repriced
from dmoe_gym.dmoe.solvers.des_kernel import FLOAT_ROWS, INT_ROWS
from dmoe_gym.dmoe.solvers.jesa import decided_by, link_energies, select_node
from dmoe_gym.dmoe.solvers.linear_assignment import allocate, count_payload
from dmoe_gym.dmoe.solvers.repair import LEAST_SAVING, best_free, copy_schedule, mark_taken, release_idle

# Passes of the local search over all links; it usually ends after two or three.
MAX_PASSES = 10


@njit
def priced(constants):
    """The same constants with the threshold priced, not hard, where experts are selected."""
    price = constants.shortfall_price
    return repriced(constants, constants.computation, price, min(constants.selection_price, price))


@njit
def node_cost(i, gate_scores, efficiency, subcarrier, threshold, constants, selected, workspace):
    """The least cost of node i's hidden states over its links' given subcarriers; their experts go into selected[i]."""
    energies, capacity, best, floats, ints = workspace
    link_energies(i, efficiency, subcarrier, constants, energies, capacity)
    select_node(gate_scores[i], energies, capacity, threshold, constants, selected[i], floats, ints)
    total = 0.0
    for n in range(gate_scores.shape[1]):
        served = 0.0
        for j in range(energies.shape[0]):
            if selected[i, n, j]:
                total += energies[j]
                served += gate_scores[i, n, j]
        total += constants.shortfall_price * max(0.0, attainable(gate_scores[i, n], threshold, best) - served)
    return total


@njit
def new_workspace(experts, limit):
    """What `node_cost` needs beside its arguments."""
    return (
        np.empty(experts),
        np.empty(experts),
        np.empty(limit),
        np.empty((FLOAT_ROWS, experts)),
        np.empty((INT_ROWS, experts), np.int64),
    )


@njit
def add_links(gate_scores, efficiency, threshold, constants, barred, selected, subcarrier, costs, workspace):
    """Add the link and free subcarrier that lower the cost most until none does; return the cost of all nodes.

    Args:
        barred: (K, K) bool, links that are not to be added.
        selected, subcarrier: a schedule, changed in place; costs: (K,) output, `node_cost` of every node.
    """
    experts = gate_scores.shape[0]
    taken = np.empty(efficiency.shape[2], np.bool_)
    mark_taken(subcarrier, taken)
    draft = np.empty_like(selected)
    saving = np.empty((experts, experts))
    route = np.empty((experts, experts), np.int64)
    for i in range(experts):
        costs[i] = node_cost(i, gate_scores, efficiency, subcarrier, threshold, constants, selected, workspace)
    stale = np.ones(experts, np.bool_)
    while True:
        best_i, best_j = -1, -1
        most = LEAST_SAVING
        for i in range(experts):
            for j in range(experts):
                if i == j or subcarrier[i, j] >= 0 or barred[i, j]:
                    continue
                if stale[i] or (route[i, j] >= 0 and taken[route[i, j]]):
                    m = best_free(efficiency[i, j], taken)
                    route[i, j] = m
                    saving[i, j] = 0.0
                    if m >= 0:
                        subcarrier[i, j] = m
                        with_link = node_cost(
                            i, gate_scores, efficiency, subcarrier, threshold, constants, draft, workspace
                        )
                        saving[i, j] = costs[i] - with_link
                        subcarrier[i, j] = -1
                if route[i, j] >= 0 and saving[i, j] > most:
                    most, best_i, best_j = saving[i, j], i, j
        stale[:] = False
        if best_i < 0:
            break
        subcarrier[best_i, best_j] = route[best_i, best_j]
        taken[route[best_i, best_j]] = True
        costs[best_i] = node_cost(
            best_i, gate_scores, efficiency, subcarrier, threshold, constants, selected, workspace
        )
        stale[best_i] = True
    return costs.sum()


@njit
def reassign_links(gate_scores, efficiency, threshold, constants, selected, subcarrier, costs, workspace):
    """Drop idle links, assign subcarriers optimally, reselect; return the cost of all nodes, which has not risen."""
    experts = gate_scores.shape[0]
    payload = np.empty((experts, experts), np.int64)
    weights = np.empty((experts, experts))
    count_payload(gate_scores, selected, payload, weights)
    allocate(payload, efficiency, weights, constants.slot_states, subcarrier)
    for i in range(experts):
        costs[i] = node_cost(i, gate_scores, efficiency, subcarrier, threshold, constants, selected, workspace)
    release_idle(selected, subcarrier)
    return costs.sum()


@njit
def fill_up(gate_scores, efficiency, threshold, constants, barred, selected, subcarrier, costs, workspace):
    """`add_links` and `reassign_links` in turn until the cost no longer falls."""
    total = np.inf
    while True:
        add_links(gate_scores, efficiency, threshold, constants, barred, selected, subcarrier, costs, workspace)
        now = reassign_links(gate_scores, efficiency, threshold, constants, selected, subcarrier, costs, workspace)
        if not now < total - LEAST_SAVING:
            return now
        total = now


@njit
def value_greedy_round(gate_scores, efficiency, threshold, constants, selected, subcarrier, passes):
    """One round into selected (K, N, K) and subcarrier (K, K); `passes` of local search at most, 0 for none.

    Local search: every link in turn is given up, or put in another link's place, and what is then worth a link gets
    one; what lowers the cost is kept.
    """
    experts = gate_scores.shape[0]
    soft = priced(constants)
    workspace = new_workspace(experts, constants.max_experts)
    nothing = np.zeros((experts, experts), np.bool_)
    barred = np.zeros((experts, experts), np.bool_)
    costs = np.empty(experts)
    subcarrier[:] = -1
    selected[:] = False
    best = fill_up(gate_scores, efficiency, threshold, soft, nothing, selected, subcarrier, costs, workspace)
    draft = selected.copy()
    draft_subcarrier = subcarrier.copy()
    for _ in range(passes):
        before = best
        for i in range(experts):
            for j in range(experts):
                if subcarrier[i, j] < 0:
                    continue
                draft_subcarrier[:] = subcarrier
                draft_subcarrier[i, j] = -1
                barred[i, j] = True
                add_links(gate_scores, efficiency, threshold, soft, barred, draft, draft_subcarrier, costs, workspace)
                barred[i, j] = False
                now = fill_up(
                    gate_scores, efficiency, threshold, soft, nothing, draft, draft_subcarrier, costs, workspace
                )
                if now < best - LEAST_SAVING:
                    best = now
                    copy_schedule(draft, draft_subcarrier, selected, subcarrier)
        if not best < before:
            break
    release_idle(selected, subcarrier)


def value_greedy(round: Round, *, local_search: bool = True) -> Schedule:
    """Links by their worth, one after the other, then local search; see `value_greedy_round`.

    Args:
        round: the round, with the channel as the scheduler knows it.
        local_search: give up and exchange links as long as that lowers the cost.
    """
    return decided_by(value_greedy_round, round, MAX_PASSES if local_search else 0, copy=True)

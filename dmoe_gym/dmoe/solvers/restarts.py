"""Detours out of a local optimum: one node starts over with a link that it is told to use, and all improve from there.

Where a schedule can be valued before it is taken (by its cost under a known channel, by its expected cost under one
that is known by its law), a detour that ends worse is given up, so any number of them in any order never harms. Which
of them pay is the question that `agents.residual` learns to answer (this project's choice).
"""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit
from dmoe_gym.dmoe.solvers.expected_cost import (
    expectations,
    expected_descent,
    expected_total,
    node_expectation,
    set_member,
)
from dmoe_gym.dmoe.solvers.repair import best_free, mark_taken, release_idle
from dmoe_gym.dmoe.solvers.value_greedy import (
    LEAST_SAVING,
    fill_up,
    new_workspace,
    node_cost,
    priced,
)


@njit
def start_over(i, j, gate_scores, rates, selected, subcarrier):
    """Node i serves its hidden states itself, but for the one of largest score at j, which expert j serves."""
    taken = np.empty(rates.shape[2], np.bool_)
    subcarrier[i] = -1
    mark_taken(subcarrier, taken)
    selected[i] = False
    selected[i, :, i] = True
    if i == j:
        return
    n = np.argmax(gate_scores[i, :, j])
    if best_free(rates[i, j], taken) >= 0:
        selected[i, n, i] = False
        set_member(i, j, True, selected[i, n], subcarrier, rates, taken)


@njit
def expected_node_costs(
    gate_scores, efficiency, threshold, constants, outlook, caution, prices, selected, subcarrier, costs
):  # fmt: skip
    """Every node's expected cost (K,) under a schedule [E_ref / (K N D)]."""
    targets, _, success, energy = expectations(gate_scores, efficiency, threshold, constants, outlook, caution, prices)
    chance = np.empty(gate_scores.shape[0])
    for i in range(gate_scores.shape[0]):
        costs[i] = node_expectation(
            i, gate_scores[i], targets[i], selected[i], subcarrier, success, energy, constants, chance
        )


@njit
def expected_detours(
    gate_scores, efficiency, threshold, constants, outlook, caution, prices, links, keep, selected, subcarrier, savings
):
    """Detours of least expected cost, in the order of `links`, each from the best schedule so far.

    Args:
        links: (R,) detours i * K + j.
        keep: shall the schedule become the best one met? Otherwise each detour starts from it as it was given.
        selected, subcarrier: a schedule of expected-cost JESA.
        savings: (R,) output, what every detour saved [E_ref / (K N D)].
    """
    targets, predicted, success, energy = expectations(
        gate_scores, efficiency, threshold, constants, outlook, caution, prices
    )
    experts = gate_scores.shape[0]
    chance = np.empty(experts)
    best = expected_total(gate_scores, targets, success, energy, constants, selected, subcarrier, chance)
    draft, draft_subcarrier = selected.copy(), subcarrier.copy()
    for position, link in enumerate(links):
        draft[:] = selected
        draft_subcarrier[:] = subcarrier
        start_over(link // experts, link % experts, gate_scores, predicted, draft, draft_subcarrier)
        now = expected_descent(gate_scores, targets, predicted, success, energy, constants, draft, draft_subcarrier)
        savings[position] = max(0.0, best - now)
        if keep and now < best - LEAST_SAVING:
            best = now
            selected[:] = draft
            subcarrier[:] = draft_subcarrier


@njit
def node_costs(gate_scores, efficiency, threshold, constants, subcarrier, costs):
    """Every node's cost (K,) over its links' given subcarriers, its experts chosen anew [E_ref / (K N D)]."""
    soft = priced(constants)
    workspace = new_workspace(gate_scores.shape[0], constants.max_experts)
    draft = np.empty(gate_scores.shape, np.bool_)
    for i in range(gate_scores.shape[0]):
        costs[i] = node_cost(i, gate_scores, efficiency, subcarrier, threshold, soft, draft, workspace)


@njit
def valued_detours(gate_scores, efficiency, threshold, constants, links, keep, selected, subcarrier, savings):
    """As `expected_detours`, of the cost itself, from a schedule of value-greedy local search."""
    experts = gate_scores.shape[0]
    soft = priced(constants)
    workspace = new_workspace(experts, constants.max_experts)
    nothing = np.zeros((experts, experts), np.bool_)
    costs = np.empty(experts)
    node_costs(gate_scores, efficiency, threshold, constants, subcarrier, costs)
    best = costs.sum()
    draft, draft_subcarrier = selected.copy(), subcarrier.copy()
    for position, link in enumerate(links):
        draft[:] = selected
        draft_subcarrier[:] = subcarrier
        start_over(link // experts, link % experts, gate_scores, efficiency, draft, draft_subcarrier)
        now = fill_up(gate_scores, efficiency, threshold, soft, nothing, draft, draft_subcarrier, costs, workspace)
        savings[position] = max(0.0, best - now)
        if keep and now < best - LEAST_SAVING:
            best = now
            selected[:] = draft
            subcarrier[:] = draft_subcarrier
    release_idle(selected, subcarrier)

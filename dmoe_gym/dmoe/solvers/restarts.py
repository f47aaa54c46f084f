"""Restarts out of a local optimum: one node starts over with a link that it is told to use, and all improve from there.

Where the channel is known by its law a schedule can be valued by its expected cost before it is taken, so a restart
that ends worse is given up, and any number of them in any order never harms (this project's choice).
"""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit
from dmoe_gym.dmoe.solvers.expected_cost import (
    LEAST_SAVING,
    expectations,
    expected_descent,
    expected_total,
    node_expectation,
    set_member,
)
from dmoe_gym.dmoe.solvers.repair import best_free, mark_taken


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
    gate_scores, efficiency, threshold, constants, law, caution, prices, selected, subcarrier, costs
):  # fmt: skip
    """Every node's expected cost (K,) under a schedule [E_ref / (K N D)]."""
    targets, _, success, energy = expectations(gate_scores, efficiency, threshold, constants, law, caution, prices)
    chance = np.empty(gate_scores.shape[0])
    for i in range(gate_scores.shape[0]):
        costs[i] = node_expectation(
            i, gate_scores[i], targets[i], selected[i], subcarrier, success, energy, constants, chance
        )


@njit
def expected_restarts(
    gate_scores, efficiency, threshold, constants, law, caution, prices, links, selected, subcarrier
):  # fmt: skip
    """Restarts of least expected cost, in the order of `links`, each from the best schedule so far.

    Args:
        links: (R,) of links i * K + j.
        selected, subcarrier: a schedule of expected-cost JESA, changed in place into the best one met.
    """
    targets, predicted, success, energy = expectations(
        gate_scores, efficiency, threshold, constants, law, caution, prices
    )
    experts = gate_scores.shape[0]
    chance = np.empty(experts)
    best = expected_total(gate_scores, targets, success, energy, constants, selected, subcarrier, chance)
    draft, draft_subcarrier = selected.copy(), subcarrier.copy()
    for link in links:
        draft[:] = selected
        draft_subcarrier[:] = subcarrier
        start_over(link // experts, link % experts, gate_scores, predicted, draft, draft_subcarrier)
        now = expected_descent(gate_scores, targets, predicted, success, energy, constants, draft, draft_subcarrier)
        if now < best - LEAST_SAVING:
            best = now
            selected[:] = draft
            subcarrier[:] = draft_subcarrier

"""JESA under prices of an episode: of relevance (a budget) and of every node's energy (batteries).

With a multiplier mu on relevance, every hidden state minimises energy - mu * relevance. As its scores sum to one that
is a threshold of 1 whose shortfall costs mu, so JESA solves it as it stands. A node's price multiplies what its radio
and its expert take.
"""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit
from dmoe_gym.dmoe.physics.terms import cost_of, repriced, shortfall_cost, transmission_energy
from dmoe_gym.dmoe.solvers.jesa import MAX_ITERATIONS, jesa
from dmoe_gym.dmoe.solvers.repair import copy_schedule

# How often, and by how much, an overdrawn node's price is raised before the schedule is taken as it is.
RAISES = 12
RAISE = 2.0


@njit
def with_prices(constants, computation, relevance_price):
    """The constants with other computation energies (K,) and relevance priced, not asked for."""
    return repriced(constants, computation, relevance_price, relevance_price)


@njit
def relevance_priced(gate_scores, efficiency, constants, multiplier, selected, subcarrier):
    """JESA that maximises multiplier * relevance - energy; return mean relevance and energy [E_ref]."""
    jesa(
        gate_scores, efficiency, 1.0, with_prices(constants, constants.computation, multiplier), selected, subcarrier,
        MAX_ITERATIONS,
    )  # fmt: skip
    return outcome(gate_scores, efficiency, constants, selected, subcarrier)


@njit
def outcome(gate_scores, efficiency, constants, selected, subcarrier):
    """Mean relevance and energy [E_ref] of a schedule."""
    experts, states, _ = gate_scores.shape
    relevance = 0.0
    energy = constants.round_energy
    for i in range(experts):
        for n in range(states):
            for j in range(experts):
                if selected[i, n, j]:
                    relevance += gate_scores[i, n, j]
                    energy += constants.computation[j]
                    if i != j:
                        energy += transmission_energy(1, 1, efficiency[i, j, subcarrier[i, j]], constants)
    scale = experts * states
    return relevance / scale, cost_of(0.0, energy, 0.0, scale, constants)


@njit
def best_multiplier(gate_scores, efficiency, constants, owed, multipliers, selected, subcarrier):
    """The schedule of the multiplier that costs least when the relevance owed falls due now; one of one is taken."""
    best = np.inf
    draft, draft_subcarrier = np.empty_like(selected), np.empty_like(subcarrier)
    for multiplier in multipliers:
        relevance, energy = relevance_priced(gate_scores, efficiency, constants, multiplier, draft, draft_subcarrier)
        cost = energy + shortfall_cost(max(0.0, owed - relevance), constants)
        if cost < best:
            best = cost
            copy_schedule(draft, draft_subcarrier, selected, subcarrier)


@njit
def node_use(efficiency, constants, selected, subcarrier, use):
    """Energy that a schedule takes from every node (K,) [E_ref / (K N D)]."""
    experts, states, _ = selected.shape
    use[:] = constants.round_energy / experts
    for i in range(experts):
        for j in range(experts):
            for n in range(states):
                if selected[i, n, j]:
                    use[j] += constants.computation[j]
                    if i != j:
                        use[i] += transmission_energy(1, 1, efficiency[i, j, subcarrier[i, j]], constants)


@njit
def node_priced(
    gate_scores, efficiency, threshold, shortfall_price, constants, prices, battery, selected, subcarrier
):  # fmt: skip
    """JESA with every node's energy at its price (K,), shortfall priced; overdrawn nodes' prices rise until they hold.

    Args:
        shortfall_price: what a hidden state's shortfall costs [E_ref / (K N D)]; with a threshold of 1, what its
            relevance is worth.
        battery: (K,) energy left [E_ref / (K N D)].
    """
    experts = efficiency.shape[0]
    price = prices.copy()
    use = np.empty(experts)
    priced = np.empty(efficiency.shape)
    for _ in range(RAISES):
        for i in range(experts):
            for j in range(experts):
                # an empty node neither transmits nor computes for others
                alive = battery[i] > 0 and battery[j] > 0
                for m in range(efficiency.shape[2]):
                    priced[i, j, m] = efficiency[i, j, m] / price[i] if alive else 0.0
        computation = constants.computation * price
        jesa(
            gate_scores, priced, threshold, with_prices(constants, computation, shortfall_price), selected,
            subcarrier, MAX_ITERATIONS,
        )  # fmt: skip
        node_use(efficiency, constants, selected, subcarrier, use)
        overdrawn = False
        for node in range(experts):
            if battery[node] > 0 and use[node] > battery[node]:
                overdrawn = True
                price[node] *= RAISE
        if not overdrawn:
            break


@njit
def best_node_priced(
    gate_scores, efficiency, constants, prices, battery, owed, multipliers, selected, subcarrier
):  # fmt: skip
    """Of `node_priced` at every price of relevance, what costs least when the relevance owed falls due now."""
    best = np.inf
    draft, draft_subcarrier = np.empty_like(selected), np.empty_like(subcarrier)
    for multiplier in multipliers:
        node_priced(
            gate_scores, efficiency, 1.0, multiplier, constants, prices, battery, draft, draft_subcarrier
        )  # fmt: skip
        relevance, energy = outcome(gate_scores, efficiency, constants, draft, draft_subcarrier)
        cost = energy + shortfall_cost(max(0.0, owed - relevance), constants)
        if cost < best:
            best = cost
            copy_schedule(draft, draft_subcarrier, selected, subcarrier)

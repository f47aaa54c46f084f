"""Selection under gate weights less discounts, within a relevance budget."""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit

# Room for rounding in a mean of gate weights, well inside what `check` allows.
BUDGET_TOLERANCE = 1e-10
# Halvings of the discounts' common factor: to 4e-6, within which no two tokens change their experts but by chance.
HALVINGS = 18


@njit
def selected_relevance(gate_weights, selected):
    """Mean over the tokens of the selected experts' gate weights."""
    total = 0.0
    for j in range(gate_weights.shape[0]):
        for u in range(gate_weights.shape[1]):
            if selected[j, u]:
                total += gate_weights[j, u]
    return total / gate_weights.shape[0]


@njit
def select_discounted(gate_weights, discounts, factor, max_experts, selected):
    """Write the experts under discounts times a factor into `selected` (J, U) bool; the lower index wins a tie."""
    devices = gate_weights.shape[1]
    for j in range(gate_weights.shape[0]):
        selected[j] = False
        for count in range(max_experts):
            best, most = -1, 0.0
            for u in range(devices):
                value = gate_weights[j, u] - factor * discounts[u]
                if not selected[j, u] and (best < 0 or value > most):
                    best, most = u, value
            if count > 0 and most < 0.0:
                break
            selected[j, best] = True


@njit
def discounted_relevance(gate_weights, discounts, factor, values, weights):
    """Mean relevance of what `select_discounted` would write; `values`, `weights` (D,) are workspaces."""
    total = 0.0
    last = values.shape[0] - 1
    for j in range(gate_weights.shape[0]):
        values[:] = -np.inf
        for u in range(gate_weights.shape[1]):
            value = gate_weights[j, u] - factor * discounts[u]
            if value > values[last]:
                slot = last
                while slot > 0 and value > values[slot - 1]:
                    values[slot], weights[slot] = values[slot - 1], weights[slot - 1]
                    slot -= 1
                values[slot], weights[slot] = value, gate_weights[j, u]
        total += weights[0]
        for slot in range(1, last + 1):
            if values[slot] >= 0.0:
                total += weights[slot]
    return total / gate_weights.shape[0]


@njit
def select_within_budget(gate_weights, discounts, max_experts, budget, selected):
    """Experts under the largest factor up to 1 on the discounts that keeps the budget; tokens that this changed."""
    select_discounted(gate_weights, discounts, 1.0, max_experts, selected)
    if selected_relevance(gate_weights, selected) >= budget - BUDGET_TOLERANCE:
        return 0
    wished = selected.copy()
    # relevance falls as the factor rises: the minimiser of factor * discounts - weights moves away from the weights
    values, weights = np.empty((2, max_experts))
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if discounted_relevance(gate_weights, discounts, middle, values, weights) >= budget - BUDGET_TOLERANCE:
            low = middle
        else:
            high = middle
    select_discounted(gate_weights, discounts, low, max_experts, selected)
    repairs = 0
    for j in range(selected.shape[0]):
        for u in range(selected.shape[1]):
            if selected[j, u] != wished[j, u]:
                repairs += 1
                break
    return repairs

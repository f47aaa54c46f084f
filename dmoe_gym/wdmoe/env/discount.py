"""WDMoE-v0: an action adjusts the bandwidths and the gate weights; experts and bandwidths follow by optimisation."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces
from numba import njit, prange

from dmoe_gym.threads import serial_or_parallel
from dmoe_gym.wdmoe.env.base import WDMoECore
from dmoe_gym.wdmoe.env.settle import BUDGET_TOLERANCE, charge, selected_relevance, share_bandwidth
from dmoe_gym.wdmoe.solvers.bandwidth import allocate_bandwidth_block

# What a bandwidth logit of 1 means (this project's choice): twice the share that would be optimal.
LOG_SHARE = float(np.log(2.0))
# Halvings of the discounts' common factor: to 4e-6, within which no two tokens change their experts but by chance.
HALVINGS = 18


class DiscountCore(WDMoECore):
    """Action: a bandwidth logit of every device, then a weight discount of every device, each in [-1, 1].

    Experts: token j takes the device with the largest gate weight less discount, w[j, u] - d[u], and further ones up
    to D where that is not negative. This is the form of the optimum of the budget-constrained problem but for whole
    tokens: with a price per token on every device, minimising price * tokens - mu * relevance takes w - price / mu.
    Discounts that miss the relevance budget are scaled down together until they keep it; `repairs` counts the tokens
    whose experts that changes. So large discounts spend the whole budget, and only their ratios matter.

    Bandwidths: the optimal ones of those experts (as far as the channel is known), times 2^logit, renormalised.
    Relative to the optimum, because latency follows the slowest device: absolute shares would have to hit the
    optimum within a percent to come within a percent of its latency.

    Action 0 is the gate's choice of D experts at optimal bandwidths.
    """

    def _action_space(self) -> spaces.Space:
        return spaces.Box(-1, 1, (2 * self.config.num_devices,), np.float32)

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        _step(
            self.gate_weights.size / 128,
            rows,
            actions,
            self.gate_weights,
            self.observed_cn0,
            self.cn0,
            self.budget,
            self.constants,
            self.selected,
            self.bandwidth,
            self.term_values,
            self.rewards,
        )
        self._finish_round(rows)


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
def decode_discounts(action, gate_weights, cn0, budget, constants, selected, bandwidth):
    """Write an action's experts into selected (J, U) and bandwidths into bandwidth (U,) [Hz]; return the repairs."""
    devices = bandwidth.shape[0]
    repairs = select_within_budget(gate_weights, action[devices:], constants.max_experts, budget, selected)
    tokens = np.zeros(devices)
    for j in range(selected.shape[0]):
        for u in range(devices):
            if selected[j, u]:
                tokens[u] += 1.0
    allocate_bandwidth_block(
        tokens, cn0[0], cn0[1], constants.computation_time, constants.payload, constants.bandwidth, bandwidth
    )
    wishes = np.empty(devices)
    for u in range(devices):
        wishes[u] = bandwidth[u] * np.exp(LOG_SHARE * action[u])
    share_bandwidth(wishes, selected, constants.bandwidth, bandwidth)
    return repairs


@serial_or_parallel
def _step(
    rows, actions, gate_weights, observed_cn0, cn0, budget, constants, selected, bandwidth, terms, rewards
):  # fmt: skip
    for position in prange(rows.shape[0]):
        row = rows[position]
        repairs = decode_discounts(
            actions[row],
            gate_weights[row],
            observed_cn0[row],
            budget[row],
            constants,
            selected[row],
            bandwidth[row],
        )
        rewards[row] = -charge(
            gate_weights[row], cn0[row], budget[row], constants, selected[row], bandwidth[row], repairs, terms[row]
        )

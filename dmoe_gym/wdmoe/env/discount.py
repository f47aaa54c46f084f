"""WDMoE-v0: an action adjusts the bandwidths and the gate weights; experts and bandwidths follow by optimisation."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from gymnasium import spaces
from numba import prange

from dmoe_gym.compiled.njit import njit
from dmoe_gym.compiled.threads import serial_or_parallel
from dmoe_gym.wdmoe.env.base import WDMoECore
from dmoe_gym.wdmoe.env.charge import charge, share_bandwidth
from dmoe_gym.wdmoe.solvers.bandwidth import allocate_bandwidth_block
from dmoe_gym.wdmoe.solvers.discounts import select_within_budget

# What a bandwidth logit of 1 means (this project's choice): twice the share that would be optimal.
LOG_SHARE = float(np.log(2.0))


class DiscountCore(WDMoECore):
    """One step discounts the devices' gate weights; experts and bandwidths follow by optimisation.

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

    entries = MappingProxyType(
        {
            "bandwidth": "U: device u's optimal bandwidth is multiplied by 2^entry",
            "discount": "U: off device u's weights",
        }
    )

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


@njit
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

"""WDMoE-Joint-v0: every allocation of a block is one action; the analytic schedulers act here."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from gymnasium import spaces
from numba import prange

from dmoe_gym.compiled.njit import njit, serial_or_parallel
from dmoe_gym.wdmoe.env.base import WDMoECore, charge, share_bandwidth
from dmoe_gym.wdmoe.physics.block import Allocation
from dmoe_gym.wdmoe.solvers.bandwidth import allocate_bandwidth_block
from dmoe_gym.wdmoe.solvers.priced import BUDGET_TOLERANCE, select_within_budget, selected_relevance
from dmoe_gym.wdmoe.solvers.selection import top_k_block

# A bandwidth logit of 1 (this project's choice): shares may differ by e^16, seven powers of ten, and 32-bit logits
# place each within 1e-6 of itself.
LOG_SHARE = 8.0


class JointCore(WDMoECore):
    """One step decides a whole allocation; the analytic schedulers act here.

    Repairs: of more than D experts those with the largest gate weights stay, a token without any
    gets its best, and where the relevance budget is missed, tokens take the gate's choice, those that gain most first.
    """

    entries = MappingProxyType(
        {
            "bandwidth": "U: the band is shared in proportion to e^(8 entry) among the devices with tokens",
            "selection": "J*U: token j goes to device u where the entry, at j U + u, is positive",
        }
    )

    def _action_space(self) -> spaces.Space:
        config = self.config
        return spaces.Box(-1, 1, (config.num_devices * (1 + config.num_tokens),), np.float32)

    def _decide(self, actions: np.ndarray, rows: np.ndarray) -> None:
        _step(self.gate_weights.size / 1024, rows, actions, *self._arrays())

    def encode(self, schedule: Allocation) -> np.ndarray:
        """The action that decodes to a valid allocation that uses all of the bandwidth.

        Bandwidths of devices without tokens are left out, shares under e^-16 of the largest are raised to it.
        """
        return encode_joint(schedule.selected, schedule.bandwidth)


def encode_joint(selected: np.ndarray, bandwidth: np.ndarray) -> np.ndarray:
    """Selections (..., J, U) bool and bandwidths (..., U) [Hz] as actions (..., U + J*U) float32."""
    active = selected.any(axis=-2) & (bandwidth > 0)
    logs = np.log(np.where(active, bandwidth, 1.0))
    largest = np.where(active, logs, -np.inf).max(axis=-1, keepdims=True)
    smallest = np.where(active, logs, np.inf).min(axis=-1, keepdims=True)
    # centred, so that the range reaches as far up as down
    logits = np.where(active, (logs - (largest + smallest) / 2) / LOG_SHARE, 0.0)
    bits = np.where(selected, 1.0, -1.0).reshape(*selected.shape[:-2], -1)
    return np.concatenate([np.clip(logits, -1, 1), bits], axis=-1).astype(np.float32)


@njit
def decode_joint(action, gate_weights, budget, constants, selected, bandwidth):
    """Write an action's experts into selected (J, U) and bandwidths into bandwidth (U,) [Hz]; return the repairs."""
    tokens, devices = gate_weights.shape
    best = np.empty((tokens, devices), np.bool_)
    top_k_block(gate_weights, constants.max_experts, best)
    # what a token would gain from the gate's choice
    gains = np.zeros(tokens)
    kept = np.empty(devices, np.bool_)
    repairs = 0
    for j in range(tokens):
        count = 0
        for u in range(devices):
            selected[j, u] = action[devices + j * devices + u] > 0
            count += selected[j, u]
        changed = count > constants.max_experts or count == 0
        if count > constants.max_experts:
            kept[:] = False
            for _ in range(constants.max_experts):
                most = -1
                for u in range(devices):
                    wanted = selected[j, u] and not kept[u]
                    if wanted and (most < 0 or gate_weights[j, u] > gate_weights[j, most]):
                        most = u
                kept[most] = True
            selected[j] = kept
        if count == 0:
            selected[j, np.argmax(gate_weights[j])] = True
        repairs += changed
        for u in range(devices):
            gains[j] += gate_weights[j, u] * (np.float64(best[j, u]) - np.float64(selected[j, u]))
    relevance = selected_relevance(gate_weights, selected)
    while relevance < budget - BUDGET_TOLERANCE:
        token = np.argmax(gains)
        selected[token] = best[token]
        relevance += gains[token] / tokens
        gains[token] = 0.0
        repairs += 1
    wishes = np.empty(devices)
    for u in range(devices):
        wishes[u] = np.exp(LOG_SHARE * action[u])
    share_bandwidth(wishes, selected, constants.bandwidth, bandwidth)
    return repairs


@serial_or_parallel
def _step(rows, actions, gate_weights, observed_cn0, cn0, budget, constants, selected, bandwidth, terms, rewards):
    for position in prange(rows.shape[0]):
        row = rows[position]
        repairs = decode_joint(actions[row], gate_weights[row], budget[row], constants, selected[row], bandwidth[row])
        rewards[row] = -charge(
            gate_weights[row], cn0[row], budget[row], constants, selected[row], bandwidth[row], repairs, terms[row]
        )


# What a bandwidth logit of 1 means (this project's choice): twice the share that would be optimal.
LOG_FACTOR = float(np.log(2.0))


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

    def _decide(self, actions: np.ndarray, rows: np.ndarray) -> None:
        _step_discounts(self.gate_weights.size / 128, rows, actions, *self._arrays())


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
        wishes[u] = bandwidth[u] * np.exp(LOG_FACTOR * action[u])
    share_bandwidth(wishes, selected, constants.bandwidth, bandwidth)
    return repairs


@serial_or_parallel
def _step_discounts(
    rows, actions, gate_weights, observed_cn0, cn0, budget, constants, selected, bandwidth, terms, rewards
):  # fmt: skip
    for position in prange(rows.shape[0]):
        row = rows[position]
        repairs = decode_discounts(
            actions[row], gate_weights[row], observed_cn0[row], budget[row], constants, selected[row], bandwidth[row]
        )
        rewards[row] = -charge(
            gate_weights[row], cn0[row], budget[row], constants, selected[row], bandwidth[row], repairs, terms[row]
        )

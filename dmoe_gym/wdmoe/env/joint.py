"""WDMoE-Joint-v0: every allocation of a block is one action; the analytic schedulers act here."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from gymnasium import spaces
from numba import prange

from dmoe_gym.compiled.njit import njit
from dmoe_gym.compiled.threads import serial_or_parallel
from dmoe_gym.wdmoe.env.base import WDMoECore
from dmoe_gym.wdmoe.env.charge import charge, share_bandwidth
from dmoe_gym.wdmoe.physics.block import Allocation
from dmoe_gym.wdmoe.solvers.discounts import BUDGET_TOLERANCE, selected_relevance
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

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        _step(
            self.gate_weights.size / 1024,
            rows,
            actions,
            self.gate_weights,
            self.cn0,
            self.budget,
            self.constants,
            self.selected,
            self.bandwidth,
            self.term_values,
            self.rewards,
        )
        self._finish_round(rows)

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
def _step(rows, actions, gate_weights, cn0, budget, constants, selected, bandwidth, terms, rewards):
    for position in prange(rows.shape[0]):
        row = rows[position]
        repairs = decode_joint(actions[row], gate_weights[row], budget[row], constants, selected[row], bandwidth[row])
        rewards[row] = -charge(
            gate_weights[row], cn0[row], budget[row], constants, selected[row], bandwidth[row], repairs, terms[row]
        )

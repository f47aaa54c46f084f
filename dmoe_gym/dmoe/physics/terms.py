"""The compiled formulas of one round's energy, relevance and cost: the only place where they stand.

Energies are in units of E_ref / (K N D) (`DMoEConfig.energy_unit_j`), so one set of constants serves every solver.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from dmoe_gym.dmoe.config import DMoEConfig


class Constants(NamedTuple):
    """A DMoEConfig as numbers for compiled code."""

    transmission: float  # energy of one hidden state over a link of spectral efficiency 1 bit/s/Hz [unit]
    computation: np.ndarray  # (K,) energy per computed hidden state [unit]
    round_energy: float  # all nodes' constant energy of a round [unit]
    shortfall_price: float  # of one unit of one hidden state's shortfall [unit]: V D
    snr_per_gain: float  # P0 / N0
    max_experts: int

    @classmethod
    def of(cls, config: DMoEConfig) -> Constants:
        """The constants of a configuration."""
        unit = config.energy_unit_j
        transmission = config.transmit_power_w * config.state_size_bit / config.subcarrier_bandwidth_hz
        return cls(
            transmission=transmission / unit,
            computation=config.computation_energy_j / unit,
            round_energy=config.num_experts * config.round_energy_j / unit,
            shortfall_price=config.shortfall_price * config.max_experts,
            snr_per_gain=config.mean_snr,
            max_experts=config.max_experts,
        )


@njit(cache=True)
def round_terms(gate_scores, selected, link_efficiency, link_subcarriers, threshold, constants):
    """Energy, relevance and cost of one round.

    Args:
        gate_scores, selected: (K, N, K).
        link_efficiency: (K, K) summed spectral efficiency of the link's subcarriers [bit/s/Hz].
        link_subcarriers: (K, K) number of them; each transmits with P0.
        threshold: z gamma^l.
        constants: `Constants`.

    Returns:
        communication [unit], computation [unit], mean relevance, mean shortfall, cost (DESIGN section 3).
        Communication is infinite where a payload has no rate.
    """
    experts, states, _ = gate_scores.shape
    communication = 0.0
    computation = constants.round_energy
    relevance = 0.0
    shortfall = 0.0
    best = np.empty(constants.max_experts)
    for i in range(experts):
        for j in range(experts):
            payload = 0
            for n in range(states):
                payload += selected[i, n, j]
            computation += constants.computation[j] * payload
            if payload > 0 and i != j:
                if link_efficiency[i, j] > 0:
                    communication += constants.transmission * payload * link_subcarriers[i, j] / link_efficiency[i, j]
                else:
                    communication = np.inf
        for n in range(states):
            served = 0.0
            for j in range(experts):
                if selected[i, n, j]:
                    served += gate_scores[i, n, j]
            relevance += served
            if served < threshold:
                shortfall += max(0.0, attainable(gate_scores[i, n], threshold, best) - served)
    scale = experts * states
    cost = (communication + computation + constants.shortfall_price * shortfall) / (scale * constants.max_experts)
    return communication, computation, relevance / scale, shortfall / scale, cost


@njit(cache=True)
def attainable(scores, threshold, best):
    """min(threshold, sum of the len(best) largest scores); `best` is a workspace."""
    limit = best.shape[0]
    for slot in range(limit):
        best[slot] = 0.0
    for score in scores:
        if score > best[limit - 1]:
            slot = limit - 1
            while slot > 0 and best[slot - 1] < score:
                best[slot] = best[slot - 1]
                slot -= 1
            best[slot] = score
    total = 0.0
    for slot in range(limit):
        total += best[slot]
    return min(threshold, total)

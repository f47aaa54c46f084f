"""Making the experts that an action chooses keep the relevance budget, sharing bandwidth, and charging for it."""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit
from dmoe_gym.wdmoe.physics.latency import transmission_time
from dmoe_gym.wdmoe.solvers.discounts import selected_relevance


@njit
def share_bandwidth(wishes, selected, total_bandwidth, bandwidth):
    """Write bandwidth (U,) [Hz] in proportion to the wishes (U,) of the devices with tokens; the others get none."""
    total = 0.0
    for u in range(bandwidth.shape[0]):
        bandwidth[u] = 0.0
        for j in range(selected.shape[0]):
            if selected[j, u]:
                bandwidth[u] = wishes[u]
                total += wishes[u]
                break
    for u in range(bandwidth.shape[0]):
        bandwidth[u] *= total_bandwidth / total


@njit
def charge(gate_weights, cn0, budget, constants, selected, bandwidth, repairs, terms):
    """The terms of a block under the true channel, in the order of `WDMoECore.term_names`; return the cost.

    Args:
        gate_weights, selected: (J, U); cn0: (2, U) [Hz]; bandwidth: (U,) [Hz].
    """
    devices = bandwidth.shape[0]
    times = np.zeros(devices)
    terms[:] = 0.0
    active = 0
    for u in range(devices):
        tokens = 0
        for j in range(selected.shape[0]):
            tokens += selected[j, u]
        if tokens == 0:
            continue
        active += 1
        down = tokens * transmission_time(bandwidth[u], cn0[0, u], constants.payload)
        up = tokens * transmission_time(bandwidth[u], cn0[1, u], constants.payload)
        computation = tokens * constants.computation_time[u]
        times[u] = down + up + computation
        terms[1] = max(terms[1], times[u])
        terms[2] += down
        terms[3] += up
        terms[4] += computation
    for u in range(devices):
        if times[u] > 0.0:
            terms[5] += terms[1] - times[u]
    terms[2:6] /= active
    terms[6] = selected_relevance(gate_weights, selected)
    terms[7] = max(0.0, budget - terms[6])
    terms[8] = repairs
    terms[0] = terms[1] / constants.reference + constants.shortfall_price * terms[7]
    return terms[0]

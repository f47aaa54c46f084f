"""Making an action's draft a feasible schedule and charging for it, compiled and batched."""

from __future__ import annotations

import numpy as np
from numba import njit

from dmoe_gym.dmoe.physics.terms import limited_terms, round_terms
from dmoe_gym.dmoe.solvers.repair import (
    best_free,
    cure_shortfalls,
    drop_unserved,
    limit_experts,
    release_idle,
)


@njit(cache=True)
def repair_draft(gate_scores, efficiency, threshold, constants, selected, subcarrier):
    """Turn any draft into a schedule that `check` accepts; return the number of repairs.

    In this order: at most D experts per hidden state (the best scores stay); idle links hold no subcarrier; of
    links that want the same subcarrier the one with the better channel keeps it, the others take their best free
    one; links left without subcarrier are dropped; hidden states without expert, or with a shortfall dearer than its
    cure, get or exchange experts one at a time.

    Args:
        threshold: what shortfalls are cured for; 0 cures none but hidden states without expert.
        selected: (K, N, K) bool; subcarrier: (K, K) int64 wishes in -1..M-1; both are changed in place.
    """
    experts, states, _ = selected.shape
    subcarriers = efficiency.shape[2]
    repairs = 0
    for i in range(experts):
        for n in range(states):
            repairs += limit_experts(gate_scores[i, n], selected[i, n], constants.max_experts)
    release_idle(selected, subcarrier)
    taken = np.zeros(subcarriers, np.bool_)
    holder = np.full(subcarriers, -1, np.int64)
    waiting = np.empty(experts * experts, np.int64)
    losers = 0
    for i in range(experts):
        for j in range(experts):
            m = subcarrier[i, j]
            used = False
            if i != j:
                for n in range(states):
                    used |= selected[i, n, j]
            if not used:
                continue
            if m >= 0 and efficiency[i, j, m] > 0:
                if holder[m] < 0:
                    holder[m] = i * experts + j
                    taken[m] = True
                    continue
                rival_i, rival_j = holder[m] // experts, holder[m] % experts
                if efficiency[i, j, m] > efficiency[rival_i, rival_j, m]:
                    holder[m] = i * experts + j
                    subcarrier[rival_i, rival_j] = -1
                    waiting[losers] = rival_i * experts + rival_j
                    losers += 1
                    continue
            subcarrier[i, j] = -1
            waiting[losers] = i * experts + j
            losers += 1
    for loser in range(losers):
        i, j = waiting[loser] // experts, waiting[loser] % experts
        m = best_free(efficiency[i, j], taken)
        subcarrier[i, j] = m
        if m >= 0:
            taken[m] = True
        repairs += 1
    drop_unserved(selected, subcarrier)
    return repairs + cure_shortfalls(gate_scores, efficiency, threshold, constants, selected, subcarrier, taken)


# What an episode's limits leave, one column each, followed by every node's battery [E_ref / (K N D)].
GATHERED, OWED, BATTERY = 0, 1, 2


@njit(cache=True)
def charge(
    gate_scores, gains, threshold, constants, energy_unit, selected, subcarrier, repairs, account, terms
):  # fmt: skip
    """The terms of a complete schedule under the true gains, in the order of `base.TERMS`; return the cost.

    The rates are computed in 64 bit from the gains, as `physics.cost` does, not from what schedulers see.

    Args:
        account: (2 + K,) mean relevance gathered before this round, mean relevance owed by it (negative for the
            threshold), batteries; relevance and batteries are brought up to date.
    """
    experts = subcarrier.shape[0]
    link_efficiency = np.zeros((experts, experts))
    ones = np.ones((experts, experts), np.int64)
    for i in range(experts):
        for j in range(experts):
            m = subcarrier[i, j]
            if m >= 0:
                link_efficiency[i, j] = np.log2(1 + constants.snr_per_gain * gains[i, j, m])
    outages = 0
    if constants.limited:
        served = np.empty(selected.shape, np.bool_)
        spent = np.empty(experts)
        communication, computation, relevance, shortfall, cost, outages = limited_terms(
            gate_scores, selected, link_efficiency, ones, threshold, constants,
            account[OWED], account[BATTERY:], served, spent,
        )  # fmt: skip
        account[GATHERED] += relevance
        for j in range(experts):
            account[BATTERY + j] -= spent[j]
    else:
        communication, computation, relevance, shortfall, cost = round_terms(
            gate_scores, selected, link_efficiency, ones, threshold, constants
        )
    terms[0] = cost
    terms[1] = communication * energy_unit
    terms[2] = computation * energy_unit
    terms[3] = relevance
    terms[4] = shortfall
    terms[5] = repairs
    terms[6] = outages
    return cost

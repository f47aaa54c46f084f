"""What a complete schedule costs under the true gains, and what an episode's limits leave after it, compiled."""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit_no_refcount
from dmoe_gym.dmoe.env.batch import BATTERY, GATHERED, OWED
from dmoe_gym.dmoe.physics.round import TINY_SNR
from dmoe_gym.dmoe.physics.terms import limited_terms, round_terms

LN2 = float(np.log(2))


@njit_no_refcount(forceinline=True)
def charge(row, repairs, constants, rules, batch, workspace):
    """`charge_served` where nobody asks who was served."""
    return charge_served(row, repairs, constants, rules, batch, workspace.served, workspace)


@njit_no_refcount(forceinline=True)
def charge_served(row, repairs, constants, rules, batch, served, workspace):
    """The terms of a complete schedule under the true gains, in the order of `base.TERMS`; return the cost.

    The rates are computed in 64 bit from the gains, as `physics.cost` does, not from what schedulers see.

    Args:
        row: whose schedule is charged; repairs: what it took.
        constants, rules, batch: `Constants`, `Rules`, `Batch`. Its account (2 + K,) is the mean relevance gathered
            before this round, the mean relevance owed by it (negative for the threshold), batteries; relevance and
            batteries are brought up to date.
        served: (K, N, K) bool output, who served whom in the end: what was selected, less what outages took.
        workspace: `Workspace`.
    """
    gate_scores, gains, threshold = batch.gate_scores[row], batch.gains[row], np.float64(batch.threshold[row, 0])
    selected, subcarrier = batch.selected[row], batch.subcarrier[row]
    account, terms = batch.account[row], batch.terms[row]
    experts = subcarrier.shape[0]
    link_efficiency = workspace.link_efficiency
    for i in range(experts):
        for j in range(experts):
            m = subcarrier[i, j]
            snr = constants.snr_per_gain * gains[i, j, m] if m >= 0 else 0.0
            link_efficiency[i, j] = np.log2(1 + snr) if snr > TINY_SNR else snr / LN2
    communication = computation = relevance = shortfall = cost = np.inf
    outages = 0
    if not constants.limited:
        for i in range(experts):
            for n in range(selected.shape[1]):
                for j in range(experts):
                    served[i, n, j] = selected[i, n, j]
        communication, computation, relevance, shortfall, cost = round_terms(
            gate_scores, selected, link_efficiency, None, threshold, constants, workspace.best
        )
    if communication == np.inf:  # or a link has no rate, which stale knowledge did not say
        spent = workspace.energies
        communication, computation, relevance, shortfall, cost, outages = limited_terms(
            gate_scores, selected, link_efficiency, None, threshold, constants,
            account[OWED], account[BATTERY:], served, spent,
        )  # fmt: skip
        account[GATHERED] += relevance
        for j in range(experts):
            account[BATTERY + j] -= spent[j]
    terms[0] = cost
    terms[1] = communication * rules.energy_unit
    terms[2] = computation * rules.energy_unit
    terms[3] = relevance
    terms[4] = shortfall
    terms[5] = repairs
    terms[6] = outages
    return cost

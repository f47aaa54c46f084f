"""Making an action's draft a feasible schedule, compiled."""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit_no_refcount
from dmoe_gym.dmoe.physics.terms import attainable
from dmoe_gym.dmoe.solvers.repair import (
    LEAST_SAVING,
    best_change,
    drop_unserved,
    limit_experts,
    reach,
    relevance_of,
    set_expert,
)


@njit_no_refcount
def repair_draft(gate_scores, efficiency, threshold, constants, selected, subcarrier, workspace):
    """Turn any draft into a schedule that `check` accepts; return the number of repairs.

    In this order: at most D experts per hidden state (the best scores stay); idle links hold no subcarrier; of
    links that want the same subcarrier the one with the better channel keeps it, the others take the next free one;
    links left without subcarrier are dropped; then `raise_relevance`. None of this weighs energies: a repair makes
    an action feasible, not good, or agents would learn to leave the work to it.

    Args:
        threshold: what shortfalls are cured for; 0 cures none but hidden states without expert.
        selected: (K, N, K) bool; subcarrier: (K, K) int64 wishes in -1..M-1; both are changed in place.
    """
    experts, states, _ = selected.shape
    repairs = 0
    for i in range(experts):
        for n in range(states):
            repairs += limit_experts(gate_scores[i, n], selected[i, n], constants.max_experts)
    wishes, taken, holder, waiting = workspace.wishes, workspace.taken, workspace.holder, workspace.waiting
    for m in range(efficiency.shape[2]):
        taken[m] = False
    wanted = 0
    for i in range(experts):
        for j in range(experts):
            m = subcarrier[i, j]
            wishes[i, j] = m
            used = False
            if i != j:
                for n in range(states):
                    used |= selected[i, n, j]
            # selections instead of branches, which could not be predicted here
            subcarrier[i, j] = m if used else -1
            waiting[wanted] = link_of(i, j)
            wanted += used
    losers = 0
    for position in range(wanted):
        link = waiting[position]
        i, j = ends_of(link)
        m = subcarrier[i, j]
        if m >= 0 and efficiency[i, j, m] > 0:
            if not taken[m]:
                holder[m] = link
                taken[m] = True
                continue
            rival_i, rival_j = ends_of(holder[m])
            if efficiency[i, j, m] > efficiency[rival_i, rival_j, m]:
                link, holder[m] = holder[m], link
                i, j = rival_i, rival_j
        subcarrier[i, j] = -1
        # never ahead of the links still to be looked at
        waiting[losers] = link
        losers += 1
    served = True
    for loser in range(losers):
        i, j = ends_of(waiting[loser])
        m = next_free(efficiency[i, j], taken, wishes[i, j])
        subcarrier[i, j] = m
        if m >= 0:
            taken[m] = True
        else:
            served = False
        repairs += 1
    if not served:
        drop_unserved(selected, subcarrier)
    return repairs + raise_relevance(
        gate_scores, efficiency, threshold, constants, selected, subcarrier, taken, wishes, workspace
    )


@njit_no_refcount
def link_of(i, j):
    """A link as one number; a division by K would take longer than what is done with it."""
    return i << 32 | j


@njit_no_refcount
def ends_of(link):
    """The inverse of `link_of`."""
    return link >> 32, link & 0xFFFFFFFF


@njit_no_refcount
def next_free(efficiency, taken, wish):
    """The first free subcarrier with a rate from the wished one on, cyclically; -1 if there is none."""
    subcarriers = taken.shape[0]
    m = max(wish, 0)
    for _ in range(subcarriers):
        if not taken[m] and efficiency[m] > 0:
            return m
        m = m + 1 if m + 1 < subcarriers else 0
    return -1


@njit_no_refcount
def most_relevant_change(scores, energies, selected, limit):
    """The expert of largest score in reach to add, and whom it replaces: with `limit` experts the least, else -1."""
    joiner = leaver = -1
    count = 0
    for j in range(scores.shape[0]):
        if selected[j]:
            count += 1
            if leaver < 0 or scores[j] < scores[leaver]:
                leaver = j
        elif energies[j] < np.inf and (joiner < 0 or scores[j] > scores[joiner]):
            joiner = j
    return joiner, leaver if count >= limit else -1


@njit_no_refcount
def _forget(i, subcarrier, some_free, energies):
    """Mark a node's energies (K,) as not computed, but those of links that cannot get a subcarrier: out of reach."""
    for j in range(energies.shape[0]):
        energies[j] = -1.0 if some_free or i == j or subcarrier[i, j] >= 0 else np.inf


@njit_no_refcount
def raise_relevance(gate_scores, efficiency, threshold, constants, selected, subcarrier, taken, wishes, workspace):
    """Add the expert of largest score in reach wherever a shortfall is dearer than its cure (the priced C1).

    With D experts already, it takes the place of the one of least score. Every change raises a hidden state's
    relevance, so the loop ends.

    Args:
        wishes: (K, K), the subcarrier that a new link takes if it is free, else the next free one.
        workspace: `Workspace`.

    Returns:
        the number of changes.
    """
    experts, states, _ = selected.shape
    best = workspace.best
    # of one hidden state more at every expert of the node at hand; negative where not computed since the last change
    energies = workspace.energies
    changes = 0
    # a hidden state that nothing could help may be helped by a subcarrier that a later change frees
    again = True
    while again:
        changed = short = False
        some_free = any_free(taken)
        for i in range(experts):
            known = False
            for n in range(states):
                scores, chosen = gate_scores[i, n], selected[i, n]
                served, count = relevance_of(scores, chosen)
                if count > 0 and served >= threshold:
                    continue
                target = attainable(scores, threshold, best)
                if not known:
                    _forget(i, subcarrier, some_free, energies)
                    known = True
                while count == 0 or target - served > LEAST_SAVING:
                    joiner, leaver = most_relevant_change(scores, energies, chosen, constants.max_experts)
                    while joiner >= 0 and energies[joiner] < 0:
                        energies[joiner], _ = reach(i, joiner, efficiency, selected, subcarrier, taken, constants)
                        if energies[joiner] == np.inf:
                            joiner, leaver = most_relevant_change(scores, energies, chosen, constants.max_experts)
                    if joiner < 0:
                        short = True
                        break
                    # does any change pay? this one nearly always does, and then no other has to be looked at; what its
                    # leaver saves is left out here
                    gained = scores[joiner] - (scores[leaver] if leaver >= 0 else scores.dtype.type(0))
                    saving = constants.shortfall_price * min(target - served, gained) - energies[joiner]
                    if count > 0 and saving <= LEAST_SAVING:
                        for j in range(experts):
                            if energies[j] < 0:
                                energies[j], _ = reach(i, j, efficiency, selected, subcarrier, taken, constants)
                        if best_change(scores, energies, chosen, threshold, constants, best)[0] < 0:
                            short = True
                            break
                    m = -1
                    if i != joiner:
                        m = subcarrier[i, joiner]
                        if m < 0:
                            m = next_free(efficiency[i, joiner], taken, wishes[i, joiner])
                    set_expert(i, n, leaver, joiner, m, selected, subcarrier, taken)
                    served, count = relevance_of(scores, chosen)
                    some_free = any_free(taken)
                    _forget(i, subcarrier, some_free, energies)
                    changes += 1
                    changed = True
        again = changed and short
    return changes


@njit_no_refcount
def any_free(taken):
    """Is any subcarrier free?"""
    free = False
    for m in range(taken.shape[0]):
        free |= not taken[m]
    return free

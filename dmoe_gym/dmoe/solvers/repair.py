"""Making any draft of a schedule feasible: the last step of every scheduler and of every action's decoding.

A draft is a selection (K, N, K) and one subcarrier index per link (K, K), -1 for none, distinct over links.
"""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit_allocating, njit_no_refcount
from dmoe_gym.dmoe.physics.terms import attainable

# Changes that save less (in units of E_ref / (K N D)) are left alone: rounding must not keep the loop going.
LEAST_SAVING = 1e-9


@njit_no_refcount
def drop_unserved(selected, subcarrier):
    """Deselect experts whose link has no subcarrier; return how many selections that took."""
    experts, states, _ = selected.shape
    dropped = 0
    for i in range(experts):
        for j in range(experts):
            if i != j and subcarrier[i, j] < 0:
                for n in range(states):
                    if selected[i, n, j]:
                        selected[i, n, j] = False
                        dropped += 1
    return dropped


@njit_no_refcount
def release_idle(selected, subcarrier):
    """Take the subcarrier from every link that carries nothing."""
    experts, states, _ = selected.shape
    for i in range(experts):
        for j in range(experts):
            if subcarrier[i, j] >= 0:
                used = False
                for n in range(states):
                    used |= selected[i, n, j]
                if not used or i == j:
                    subcarrier[i, j] = -1


@njit_no_refcount
def copy_schedule(selected, subcarrier, kept, kept_subcarrier):
    """Copy a schedule into another's arrays: loops compile in a tenth of the time that numba takes for `[:] =`."""
    experts, states, _ = selected.shape
    for i in range(experts):
        for j in range(experts):
            kept_subcarrier[i, j] = subcarrier[i, j]
            for n in range(states):
                kept[i, n, j] = selected[i, n, j]


@njit_no_refcount
def mark_taken(subcarrier, taken):
    """taken[m] = is subcarrier m held by a link."""
    taken[:] = False
    experts = subcarrier.shape[0]
    for i in range(experts):
        for j in range(experts):
            if subcarrier[i, j] >= 0:
                taken[subcarrier[i, j]] = True


@njit_no_refcount
def best_free(efficiency, taken):
    """The free subcarrier of largest positive efficiency on one link, -1 if there is none."""
    best = -1
    most = efficiency.dtype.type(0)
    for m in range(taken.shape[0]):
        # selections instead of branches, which could not be predicted here: nearly three times faster
        better = (efficiency[m] > most) & (not taken[m])
        best = m if better else best
        most = efficiency[m] if better else most
    return best


@njit_no_refcount
def reach(i, j, efficiency, selected, subcarrier, taken, constants):
    """Energy of one hidden state of node i at expert j, and the subcarrier its link would use (-1 for its own node).

    The energy is infinite where the link has no subcarrier and none is free, or could not deliver one hidden state
    more in the slot.
    """
    if i == j:
        return constants.computation[j], -1
    m = subcarrier[i, j]
    if m < 0:
        m = best_free(efficiency[i, j], taken)
        if m < 0:
            return np.inf, -1
    if constants.slot_states < np.inf:
        payload = 1
        for n in range(selected.shape[1]):
            payload += selected[i, n, j]
        if payload > constants.slot_states * efficiency[i, j, m]:
            return np.inf, m
    return constants.transmission / efficiency[i, j, m] + constants.computation[j], m


@njit_no_refcount
def set_expert(i, n, leaver, joiner, m, selected, subcarrier, taken):
    """Let expert `joiner` (over subcarrier m, -1 at its own node) serve instead of `leaver` (-1 for nobody)."""
    selected[i, n, joiner] = True
    if m >= 0:
        subcarrier[i, joiner] = m
        taken[m] = True
    if leaver >= 0:
        selected[i, n, leaver] = False
        if subcarrier[i, leaver] >= 0:
            used = False
            for other in range(selected.shape[1]):
                used |= selected[i, other, leaver]
            if not used:
                taken[subcarrier[i, leaver]] = False
                subcarrier[i, leaver] = -1


@njit_no_refcount
def best_change(scores, energies, selected, threshold, constants, best):
    """The one expert to add, or to put in another's place, that lowers a hidden state's cost most by curing shortfall.

    Args:
        scores, energies, selected: (K,); an infinite energy marks an expert out of reach.
        best: workspace of length D.

    Returns:
        joiner, leaver: experts; leaver -1 for an addition; joiner -1 where nothing pays. A hidden state without
        any expert gets at least its cheapest one (C2).
    """
    experts = scores.shape[0]
    served, count = relevance_of(scores, selected)
    missing = max(0.0, attainable(scores, threshold, best) - served)
    joiner = leaver = -1
    most = LEAST_SAVING
    if missing > LEAST_SAVING:
        for j in range(experts):
            if selected[j] or energies[j] == np.inf:
                continue
            if count < constants.max_experts:
                saving = constants.shortfall_price * min(missing, scores[j]) - energies[j]
                if saving > most:
                    most, joiner, leaver = saving, j, -1
            for k in range(experts):
                if selected[k] and scores[j] > scores[k]:
                    gained = min(missing, scores[j] - scores[k])
                    # at its slot's capacity an expert in use counts as out of reach for more: its energy is unknown
                    saved = energies[k] if energies[k] < np.inf else 0.0
                    saving = constants.shortfall_price * gained - (energies[j] - saved)
                    if saving > most:
                        most, joiner, leaver = saving, j, k
    if joiner < 0 and count == 0:
        joiner = int(np.argmin(energies))
    return joiner, leaver


@njit_allocating
def cure_shortfalls(gate_scores, efficiency, threshold, constants, selected, subcarrier, taken):
    """Apply `best_change` to every hidden state until nothing pays any more; return the number of changes.

    Every change lowers the cost, so the loop ends; afterwards the priced C1 holds (see `physics.check`).
    """
    if not any_short(gate_scores, selected, threshold):
        return 0
    experts = selected.shape[0]
    best = np.empty(constants.max_experts)
    energies = np.empty(experts)
    routes = np.empty(experts, np.int64)
    outdated = np.empty(experts, np.bool_)
    return cure(
        gate_scores, efficiency, threshold, constants, selected, subcarrier, taken, best, energies, routes, outdated
    )


@njit_no_refcount
def cure(gate_scores, efficiency, threshold, constants, selected, subcarrier, taken, best, energies, routes, outdated):
    """`cure_shortfalls` with workspaces (D,), (K,), (K,) int64 and (K,) bool."""
    experts, states, _ = selected.shape
    changes = 0
    changed = True
    while changed:
        changed = False
        some_free = not taken.all()
        for i in range(experts):
            for j in range(experts):
                outdated[j] = True
            for n in range(states):
                while needs_cure(gate_scores[i, n], selected[i, n], threshold, best):
                    for j in range(experts):
                        if outdated[j]:
                            energies[j], routes[j] = np.inf, -1
                            if some_free or i == j or subcarrier[i, j] >= 0:
                                energies[j], routes[j] = reach(i, j, efficiency, selected, subcarrier, taken, constants)
                            outdated[j] = False
                    joiner, leaver = best_change(
                        gate_scores[i, n], energies, selected[i, n], threshold, constants, best
                    )
                    if joiner < 0:
                        break
                    route = routes[joiner]
                    freed = subcarrier[i, leaver] if leaver >= 0 else -1
                    set_expert(i, n, leaver, joiner, route, selected, subcarrier, taken)
                    # a freed subcarrier may be anyone's best, one newly taken no longer is
                    freed = freed >= 0 and not taken[freed]
                    some_free |= freed
                    for j in range(experts):
                        outdated[j] = freed or routes[j] == route or j == leaver
                    changes += 1
                    changed = True
    return changes


@njit_no_refcount
def relevance_of(scores, selected):
    """The sum of the selected experts' scores, and how many they are; arguments (K,)."""
    served = 0.0
    count = 0
    for j in range(scores.shape[0]):
        if selected[j]:
            served += scores[j]
            count += 1
    return served, count


@njit_no_refcount
def falls_short(scores, selected, threshold):
    """Has the hidden state less than the threshold, or no expert at all? What `needs_cure` asks first."""
    served, count = relevance_of(scores, selected)
    return count == 0 or served < threshold


@njit_no_refcount
def any_short(gate_scores, selected, threshold):
    """Does any hidden state fall short?"""
    for i in range(selected.shape[0]):
        for n in range(selected.shape[1]):
            if falls_short(gate_scores[i, n], selected[i, n], threshold):
                return True
    return False


@njit_no_refcount
def needs_cure(scores, selected, threshold, best):
    """Has the hidden state a shortfall, or no expert at all? Cheap, and mostly false."""
    served, count = relevance_of(scores, selected)
    if count == 0:
        return True
    if served >= threshold:
        return False
    return attainable(scores, threshold, best) - served > LEAST_SAVING


@njit_no_refcount
def limit_experts(scores, selected, limit):
    """Deselect the experts of least score until at most `limit` are left (C2); return how many that took."""
    count = 0
    for j in range(scores.shape[0]):
        count += selected[j]
    dropped = 0
    while count - dropped > limit:
        least = -1
        for j in range(scores.shape[0]):
            if selected[j] and (least < 0 or scores[j] < scores[least]):
                least = j
        selected[least] = False
        dropped += 1
    return dropped

"""Exact masks of the sequential environment: which picks keep a feasible schedule of the round within reach.

While the free subcarriers suffice for whatever the remaining hidden states may want, nobody competes: every hidden
state must then reach the smaller of the threshold and its attainable relevance. Where they may run out, giving a
subcarrier to somebody else can be worth a shortfall, so every hidden state may be left short.
"""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit

# Relevance sums are compared with this tolerance: gate scores are 32-bit numbers.
TOLERANCE = 1e-6

OWN, LINKED, NEW, UNREACHABLE = 0, 1, 2, 3


@njit
def classify(i, efficiency, subcarrier, taken, kinds):
    """How node i reaches every expert: its own, over a link that has a subcarrier, over a free one, or not at all.

    Returns:
        the number of free subcarriers.
    """
    experts = kinds.shape[0]
    free = 0
    for m in range(taken.shape[0]):
        free += not taken[m]
    for j in range(experts):
        if i == j:
            kinds[j] = OWN
        elif subcarrier[i, j] >= 0:
            kinds[j] = LINKED
        else:
            kinds[j] = UNREACHABLE
            for m in range(taken.shape[0]):
                if not taken[m] and efficiency[i, j, m] > 0:
                    kinds[j] = NEW
                    break
    return free


@njit
def best_completion(scores, chosen, kinds, order, picks, free, without):
    """The largest relevance that at most `picks` more experts add, at most `free` of them over new links.

    Taking scores from the largest down is optimal: the sets that obey both limits form a laminar matroid.
    `order` sorts experts by falling score; expert `without` is left out.
    """
    total = 0.0
    for j in order:
        if picks == 0:
            break
        if chosen[j] or j == without or kinds[j] == UNREACHABLE:
            continue
        if kinds[j] == NEW:
            if free == 0:
                continue
            free -= 1
        total += scores[j]
        picks -= 1
    return total


@njit
def subcarriers_suffice(turn, states, limit, picked, subcarrier, free):
    """Are there free subcarriers for every new link that the hidden states from `turn` on could ask for?

    `picked` experts of the current hidden state are decided; so once they suffice, they do to the round's end.
    """
    experts = subcarrier.shape[0]
    wanted = 0
    for i in range(turn // states, experts):
        unlinked = 0
        for j in range(experts):
            unlinked += i != j and subcarrier[i, j] < 0
        picks = (states - turn % states) * limit - picked if i == turn // states else states * limit
        wanted += min(unlinked, picks)
    return free >= wanted


@njit
def write_mask(turn, gate_scores, selected, threshold, limit, efficiency, subcarrier, taken, mask):
    """The feasible actions for the hidden state whose turn it is.

    Action j * M + m picks expert j over subcarrier m, the last one is "done". Own experts use m = 0, linked ones
    their link's subcarrier, others any free one with a rate. Where subcarriers suffice, a pick is feasible if
    afterwards the smaller of the threshold and the relevance attainable now can still be reached, and "done" if it
    has been. Elsewhere every expert in reach is feasible, and "done" after the first pick.

    Args:
        turn: n + i * N; gate_scores, selected: (K, N, K); efficiency: (K, K, M); subcarrier: (K, K), -1 for none;
        taken: (M,) bool; mask: (K * M + 1,) bool output.
    """
    experts, states, _ = gate_scores.shape
    i, n = turn // states, turn % states
    scores, chosen = gate_scores[i, n], selected[i, n]
    subcarriers = taken.shape[0]
    kinds = np.empty(experts, np.int64)
    order = np.argsort(-scores)
    free = classify(i, efficiency, subcarrier, taken, kinds)
    served = 0.0
    count = 0
    for j in range(experts):
        if chosen[j]:
            served += scores[j]
            count += 1
    target = 0.0
    if subcarriers_suffice(turn, states, limit, count, subcarrier, free):
        target = min(threshold, served + best_completion(scores, chosen, kinds, order, limit - count, free, -1))
    mask[:] = False
    mask[experts * subcarriers] = count > 0 and served >= target - TOLERANCE
    if count >= limit:
        return
    for j in range(experts):
        if chosen[j] or kinds[j] == UNREACHABLE:
            continue
        left = free - 1 if kinds[j] == NEW else free
        reached = served + scores[j] + best_completion(scores, chosen, kinds, order, limit - count - 1, left, j)
        if reached < target - TOLERANCE:
            continue
        if kinds[j] == OWN:
            mask[j * subcarriers] = True
        elif kinds[j] == LINKED:
            mask[j * subcarriers + subcarrier[i, j]] = True
        else:
            for m in range(subcarriers):
                mask[j * subcarriers + m] = not taken[m] and efficiency[i, j, m] > 0


@njit
def nearest_feasible(action, scores, efficiency_of_node, mask):
    """The feasible action nearest to an infeasible one.

    That is the same expert over its best feasible subcarrier if there is one, else the expert of largest score over
    its best feasible subcarrier, else "done".
    """
    experts, subcarriers = efficiency_of_node.shape
    wished = action // subcarriers
    best = -1
    for j in range(experts):
        for m in range(subcarriers):
            candidate = j * subcarriers + m
            if not mask[candidate]:
                continue
            if best < 0:
                best = candidate
                continue
            best_expert, best_m = best // subcarriers, best % subcarriers
            if best_expert == j:
                if efficiency_of_node[j, m] > efficiency_of_node[j, best_m]:
                    best = candidate
            elif best_expert != wished and (j == wished or scores[j] > scores[best_expert]):
                best = candidate
    return best if best >= 0 else experts * subcarriers

"""The compiled tree search of DES: one hidden state's cheapest experts that meet the threshold.

    minimise    sum_j x_j energy_j + price * max(0, required - sum_j x_j score_j)
    subject to  1 <= sum_j x_j <= D,  x binary

An infinite price makes the threshold hard (DES of arXiv 2503.13421); a finite one prices the shortfall, as the
lower bound needs it. The relaxation that prunes is this project's choice: the threshold is moved into the objective
with a multiplier while the limit D stays a constraint, so the relaxed problem is "the D most negative reduced costs"
and its best multiplier is found by intersecting two lines at a time. A linear relaxation that drops D is far weaker.
"""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit_no_refcount

# A threshold counts as met within this absolute tolerance: sums of scores in another order differ by rounding.
TOLERANCE = 1e-9
# Rows of the two workspaces, each as long as there are experts: `search` uses the first eight of floats, its callers
# the others.
FLOAT_ROWS = 11
INT_ROWS = 5


@njit_no_refcount
def sort_candidates(keys, ties, order, count):
    """Sort order[:count] by keys ascending, then ties descending, then index (insertion sort: lists are short)."""
    for position in range(1, count):
        item = order[position]
        key = keys[item]
        tie = ties[item]
        slot = position
        while slot > 0:
            other = order[slot - 1]
            if keys[other] > key or (keys[other] == key and (ties[other] < tie)):
                order[slot] = other
                slot -= 1
            else:
                break
        order[slot] = item


@njit_no_refcount
def keep_undominated(scores, order, count, limit, best):
    """Drop from order (sorted by energy) every expert that `limit` cheaper ones equal or exceed in score.

    At most `limit` experts are chosen, so one of those dominators is always free to take its place.
    """
    kept = 0
    seen = 0
    for position in range(count):
        item = order[position]
        score = scores[item]
        if seen == limit and best[limit - 1] >= score:
            continue
        slot = min(seen, limit - 1)
        while slot > 0 and best[slot - 1] < score:
            best[slot] = best[slot - 1]
            slot -= 1
        best[slot] = score
        seen = min(seen + 1, limit)
        order[kept] = item
        kept += 1
    return kept


@njit_no_refcount
def cheapest_reduced(energy, score, count, multiplier, limit, chosen):
    """The at most `limit` candidates of most negative reduced cost energy - multiplier * score, cheapest first.

    Returns their number, and their summed energy and score.
    """
    taken = 0
    for item in range(count):
        reduced = energy[item] - multiplier * score[item]
        if reduced >= 0.0:
            continue
        if taken == limit:
            last = chosen[limit - 1]
            if energy[last] - multiplier * score[last] <= reduced:
                continue
            slot = limit - 1
        else:
            slot = taken
            taken += 1
        while slot > 0:
            other = chosen[slot - 1]
            if energy[other] - multiplier * score[other] > reduced:
                chosen[slot] = other
                slot -= 1
            else:
                break
        chosen[slot] = item
    total_energy = 0.0
    total_score = 0.0
    for slot in range(taken):
        total_energy += energy[chosen[slot]]
        total_score += score[chosen[slot]]
    return taken, total_energy, total_score


@njit_no_refcount
def search(scores, energies, threshold, limit, price, selected, floats, ints):
    """Solve one hidden state; the answer goes into `selected`, the number of visited tree nodes is returned.

    Args:
        scores, energies: (K,) floats; an infinite energy marks an expert out of reach.
        threshold: the relevance asked for; with an infinite price it is lowered to what `limit` experts can give.
        limit: D, at least 1.
        price: energy per unit of shortfall, may be infinite.
        selected: (K,) bool, overwritten; all False only where no expert is in reach.
        floats, ints: workspaces of shape (FLOAT_ROWS, K) and (INT_ROWS, K).
    """
    experts = scores.shape[0]
    order, chosen, best_set, stack, by_reduced = ints[0], ints[1], ints[2], ints[3], ints[4]
    energy, score, reduced, prefix, best_scores = floats[0], floats[1], floats[2], floats[3], floats[4]
    path_energy, path_score, path_reduced = floats[5], floats[6], floats[7]

    count = 0
    for expert in range(experts):
        selected[expert] = False
        if energies[expert] < np.inf:
            order[count] = expert
            count += 1
    if count == 0:
        return 0
    sort_candidates(energies, scores, order, count)
    limit = min(limit, count)
    count = keep_undominated(scores, order, count, limit, best_scores)
    attainable = 0.0
    for slot in range(limit):
        attainable += best_scores[slot]
    hard = price == np.inf
    required = min(threshold, attainable) if hard else threshold
    if required <= TOLERANCE:
        selected[order[0]] = True  # C2 asks for one expert: the cheapest
        return 1
    for position in range(count):
        energy[position] = energies[order[position]]
        score[position] = scores[order[position]]

    # --- the best multiplier; every relaxed solution that meets the threshold is an incumbent
    best_count = 0
    best_cost = np.inf
    low_energy, low_score = 0.0, 0.0  # multiplier 0: nothing is worth choosing
    if hard:
        # multiplier -> infinity: the `limit` highest scores, cheapest first among equals
        taken = 0
        for position in range(count):
            slot = min(taken, limit - 1)
            if taken == limit and score[chosen[slot]] >= score[position]:
                continue
            while slot > 0 and score[chosen[slot - 1]] < score[position]:
                chosen[slot] = chosen[slot - 1]
                slot -= 1
            chosen[slot] = position
            taken = min(taken + 1, limit)
        high_energy, high_score = 0.0, 0.0
        for slot in range(taken):
            high_energy += energy[chosen[slot]]
            high_score += score[chosen[slot]]
    else:
        taken, high_energy, high_score = cheapest_reduced(energy, score, count, price, limit, chosen)
    shortfall = required - high_score
    if taken > 0 and (hard or shortfall <= TOLERANCE):
        best_cost = high_energy
    elif taken > 0:
        best_cost = high_energy + price * shortfall
    best_count = taken
    for slot in range(taken):
        best_set[slot] = chosen[slot]
    if not hard and shortfall > 0.0:
        multiplier = price
        bound = high_energy + price * shortfall
    else:
        multiplier = 0.0
        bound = 0.0
        for _ in range(64):
            if high_score <= low_score:
                break
            multiplier = (high_energy - low_energy) / (high_score - low_score)
            crossing = low_energy + multiplier * (required - low_score)
            taken, mid_energy, mid_score = cheapest_reduced(energy, score, count, multiplier, limit, chosen)
            bound = mid_energy + multiplier * (required - mid_score)
            feasible = mid_score >= required - TOLERANCE
            if feasible and mid_energy < best_cost and taken > 0:
                best_cost = mid_energy
                best_count = taken
                for slot in range(taken):
                    best_set[slot] = chosen[slot]
            if bound >= crossing - 1e-12 * (1.0 + abs(crossing)):
                break
            if feasible:
                high_energy, high_score = mid_energy, mid_score
            else:
                low_energy, low_score = mid_energy, mid_score

    # --- depth-first search over candidates in the order of reduced cost
    slack = 1e-12 * (1.0 + abs(best_cost)) if best_cost < np.inf else 0.0
    nodes = 1
    if bound < best_cost - slack:
        for position in range(count):
            by_reduced[position] = position
            reduced[position] = energy[position] - multiplier * score[position]
        sort_candidates(reduced, score, by_reduced, count)
        # prefix[p]: sum of the negative reduced costs among the first p + 1
        running = 0.0
        for position in range(count):
            running += min(0.0, reduced[by_reduced[position]])
            prefix[position] = running
        depth = 0
        position = 0
        base = multiplier * required
        path_energy[0], path_score[0], path_reduced[0] = 0.0, 0.0, base
        while depth >= 0:
            # at this depth `depth` candidates are chosen; try to add the one at `position`
            ascend = position >= count
            if not ascend:
                item = by_reduced[position]
                last = min(position + limit - depth - 1, count - 1)
                with_item = path_reduced[depth] + reduced[item] + prefix[last] - prefix[position]
                # later candidates have larger reduced costs: none of them can do better either
                ascend = with_item >= best_cost - slack
            if ascend:
                depth -= 1
                if depth >= 0:
                    position = stack[depth] + 1
                continue
            nodes += 1
            new_energy = path_energy[depth] + energy[item]
            new_score = path_score[depth] + score[item]
            missing = required - new_score
            stack[depth] = position
            cost = new_energy
            if missing > TOLERANCE:
                cost = np.inf if hard else new_energy + price * missing
            if cost < best_cost - slack:
                best_cost = cost
                best_count = depth + 1
                for slot in range(depth + 1):
                    best_set[slot] = by_reduced[stack[slot]]
            # a set that meets the threshold gains nothing from more experts
            if missing > TOLERANCE and depth + 1 < limit:
                depth += 1
                path_energy[depth] = new_energy
                path_score[depth] = new_score
                path_reduced[depth] = path_reduced[depth - 1] + reduced[item]
            position += 1
    for slot in range(best_count):
        selected[order[best_set[slot]]] = True
    return nodes

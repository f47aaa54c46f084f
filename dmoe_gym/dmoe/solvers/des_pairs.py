"""DES for two experts at most and a few to choose from: all pairs, which takes less time than a search."""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit_no_refcount
from dmoe_gym.dmoe.solvers.des_kernel import TOLERANCE

# With more experts than these the tree search visits so few sets that it is faster.
MOST_EXPERTS = 16


@njit_no_refcount
def search_pairs(scores, energies, threshold, selected):
    """`des_kernel.search` for D = 2 and a hard threshold: the cheapest expert or pair that meets it.

    Args:
        scores, energies: (K,) float64; an infinite energy marks an expert out of reach.
        threshold: the relevance asked for; lowered to what two experts can give.
        selected: (K,) bool, overwritten; all False only where no expert is in reach.
    """
    experts = scores.shape[0]
    highest = second = 0.0
    for j in range(experts):
        score = scores[j] if energies[j] < np.inf else 0.0
        second = max(second, min(highest, score))
        highest = max(highest, score)
    required = min(threshold, highest + second) - TOLERANCE
    least = np.inf
    first = other = -1
    # selections instead of branches, which could not be predicted here
    for j in range(experts):
        selected[j] = False
        better = (scores[j] >= required) & (energies[j] < least)
        least = energies[j] if better else least
        first = j if better else first
    other = first
    for j in range(experts):
        for k in range(j):
            energy = energies[j] + energies[k]
            better = (scores[j] + scores[k] >= required) & (energy < least)
            least = energy if better else least
            first = k if better else first
            other = j if better else other
    if first >= 0:
        selected[first] = True
        selected[other] = True

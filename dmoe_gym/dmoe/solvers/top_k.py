"""Top-k: the k best gate scores of each hidden state, then the optimal assignment of the links they need."""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit
from dmoe_gym.dmoe.physics import Constants, Round, Schedule
from dmoe_gym.dmoe.solvers.assignment import allocate, count_payload
from dmoe_gym.dmoe.solvers.repair import drop_unserved, mark_taken, reach, release_idle, set_expert


@njit
def top_k_round(gate_scores, efficiency, k, constants, selected, subcarrier):
    """One round of top-k into selected (K, N, K) and subcarrier (K, K)."""
    experts, states, _ = gate_scores.shape
    payload = np.empty((experts, experts), np.int64)
    weights = np.empty((experts, experts))
    for i in range(experts):
        for n in range(states):
            order = np.argsort(-gate_scores[i, n], kind="mergesort")
            selected[i, n] = False
            for expert in order[:k]:
                selected[i, n, expert] = True
    count_payload(gate_scores, selected, payload, weights)
    if allocate(payload, efficiency, weights, constants.slot_states, subcarrier) == 0:
        return
    drop_unserved(selected, subcarrier)
    release_idle(selected, subcarrier)
    taken = np.empty(efficiency.shape[2], np.bool_)
    mark_taken(subcarrier, taken)
    for i in range(experts):
        for n in range(states):
            if not selected[i, n].any():
                # C2: the best score still in reach
                best = -1
                for j in range(experts):
                    within = reach(i, j, efficiency, selected, subcarrier, taken, constants)[0] < np.inf
                    if within and (best < 0 or gate_scores[i, n, j] > gate_scores[i, n, best]):
                        best = j
                route = reach(i, best, efficiency, selected, subcarrier, taken, constants)[1]
                set_expert(i, n, -1, best, route, selected, subcarrier, taken)


def top_k(round: Round, k: int) -> Schedule:
    """The k best experts of each hidden state by gate score, over their optimal subcarriers.

    The threshold plays no part: k = 1 may fall short of it. Where subcarriers run out, the links that carry the
    least relevance are dropped; a hidden state left without expert gets the best one in reach.

    Raises:
        ValueError: if k is not from 1 to D.
    """
    limit = round.config.max_experts
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= limit:
        raise ValueError(f"k = {k!r}: valid are whole numbers from 1 to max_experts = {limit}")
    experts = round.config.num_experts
    selected = np.zeros(round.gate_scores.shape, np.bool_)
    subcarrier = np.empty((experts, experts), np.int64)
    constants = Constants.of(round.config)
    top_k_round(round.gate_scores, round.spectral_efficiency, int(k), constants, selected, subcarrier)
    return Schedule.from_subcarriers(selected, subcarrier, round.config.num_subcarriers)

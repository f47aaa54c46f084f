"""Greedy and random schedules of a round: what a scheduler must beat before it is worth its name."""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit
from dmoe_gym.dmoe.physics import Constants, Round, Schedule
from dmoe_gym.dmoe.physics.terms import attainable
from dmoe_gym.dmoe.solvers.jesa import complete, decided_by, provisional_subcarriers, select_experts
from dmoe_gym.dmoe.solvers.linear_assignment import allocate, count_payload
from dmoe_gym.dmoe.solvers.repair import cure_shortfalls, drop_unserved, mark_taken, reach, release_idle, set_expert


@njit
def top_k_round(gate_scores, efficiency, threshold, constants, selected, subcarrier, k):
    """One round of top-k, whatever the threshold, into selected (K, N, K) and subcarrier (K, K)."""
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
    return decided_by(top_k_round, round, int(k))


@njit
def des_round(gate_scores, efficiency, threshold, constants, selected, subcarrier):
    """DES as if every link had its best subcarrier, then the assignment of the links it uses."""
    experts, _, _ = efficiency.shape
    for i in range(experts):
        for j in range(experts):
            subcarrier[i, j] = np.argmax(efficiency[i, j]) if i != j else -1
    scores, rates = gate_scores.astype(np.float64), efficiency.astype(np.float64)  # as in `jesa`
    select_experts(scores, rates, subcarrier, threshold, constants, selected)
    complete(scores, rates, threshold, constants, selected, subcarrier)


@njit
def channel_greedy_round(gate_scores, efficiency, threshold, constants, selected, subcarrier):
    """The cheapest experts of each hidden state, one after the other, until the threshold holds or D is reached.

    Where D cheap experts do not reach it, the least relevant of them gives way to the next cheapest that helps.
    """
    experts, states, _ = gate_scores.shape
    rates = efficiency.astype(np.float64)
    provisional_subcarriers(rates, subcarrier)
    energies = np.empty(experts)
    best = np.empty(constants.max_experts)
    for i in range(experts):
        for j in range(experts):
            m = subcarrier[i, j]
            energies[j] = constants.computation[j]
            if i != j:
                rate = rates[i, j, m] if m >= 0 else 0.0
                energies[j] += constants.transmission / rate if rate > 0 else np.inf
        order = np.argsort(energies, kind="mergesort")
        for n in range(states):
            scores, chosen = gate_scores[i, n], selected[i, n]
            chosen[:] = False
            target = attainable(scores, threshold, best)
            served = 0.0
            count = 0
            for j in order:
                if energies[j] == np.inf or (count > 0 and served >= target - 1e-9):
                    break
                if count == constants.max_experts:
                    least = -1
                    for k in range(experts):
                        if chosen[k] and (least < 0 or scores[k] < scores[least]):
                            least = k
                    if scores[least] >= scores[j]:
                        continue
                    chosen[least] = False
                    served -= scores[least]
                    count -= 1
                chosen[j] = True
                served += scores[j]
                count += 1
    complete(gate_scores.astype(np.float64), rates, threshold, constants, selected, subcarrier)


def random_round(
    gate_scores: np.ndarray,
    efficiency: np.ndarray,
    threshold: float,
    constants: Constants,
    selected: np.ndarray,
    subcarrier: np.ndarray,
    generator: np.random.Generator,
) -> None:
    """A random feasible schedule into selected (K, N, K) and subcarrier (K, K).

    Every hidden state draws uniformly from the sets of at most D experts that meet its attainable threshold, then
    the active links draw distinct subcarriers uniformly. Where subcarriers run out, links are given up at random
    and their hidden states are completed as in every scheduler.
    """
    experts, states, _ = gate_scores.shape
    subcarriers = efficiency.shape[2]
    best = np.empty(constants.max_experts)
    for i in range(experts):
        for n in range(states):
            target = attainable(gate_scores[i, n], threshold, best)
            selected[i, n] = _random_set(gate_scores[i, n], target, constants.max_experts, generator)
    subcarrier[:] = -1
    active = [(i, j) for i in range(experts) for j in range(experts) if i != j and selected[i, :, j].any()]
    free = generator.permutation(subcarriers)
    for link, position in enumerate(generator.permutation(len(active))):
        i, j = active[position]
        if link < subcarriers and efficiency[i, j, free[link]] > 0:
            subcarrier[i, j] = free[link]
        else:
            selected[i, :, j] = False
    taken = np.empty(subcarriers, np.bool_)
    mark_taken(subcarrier, taken)
    cure_shortfalls(gate_scores, efficiency, threshold, constants, selected, subcarrier, taken)


def _random_set(scores: np.ndarray, target: float, limit: int, generator: np.random.Generator) -> np.ndarray:
    """Uniform over the sets of 1..limit experts with scores summing to the target, by rejection."""
    experts = len(scores)
    # sizes in proportion to how many sets have them
    weights = np.cumprod([(experts - size) / (size + 1) for size in range(limit)])
    for _ in range(1000):
        size = 1 + generator.choice(limit, p=weights / weights.sum())
        members = generator.permutation(experts)[:size]
        if scores[members].sum() >= target - 1e-9:
            break
    else:  # such sets are rare: take the one that surely is
        members = np.argsort(-scores)[:limit]
    chosen = np.zeros(experts, bool)
    chosen[members] = True
    return chosen


def channel_greedy(round: Round) -> Schedule:
    """Cheapest experts until the threshold holds, then the optimal assignment; see `channel_greedy_round`."""
    return decided_by(channel_greedy_round, round)


def des_with_best_subcarriers(round: Round) -> Schedule:
    """DES over every link's best subcarrier, then the optimal assignment; see `des_round`."""
    return decided_by(des_round, round)

"""JESA with SciPy and plain loops, as one would first write it: what the compiled JESA is measured against.

Only for rounds with a subcarrier for every link (M >= K (K - 1)): nothing has to be given up there. DES is full
enumeration, whose subsets are listed once; the assignment is `scipy.optimize.linear_sum_assignment`.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
from scipy.optimize import linear_sum_assignment

from dmoe_gym.dmoe import Round, Schedule, cost


@cache
def subsets(experts: int, largest: int) -> np.ndarray:
    """(subsets, K) float: every selection of 1 to `largest` experts."""
    chosen = [set(group) for size in range(1, largest + 1) for group in combinations(range(experts), size)]
    return np.array([[float(expert in group) for expert in range(experts)] for group in chosen])


def des_enumeration(scores: np.ndarray, energies: np.ndarray, target: float, max_experts: int) -> np.ndarray:
    """(K,) bool: the cheapest of all subsets that meet the target."""
    every = subsets(scores.size, max_experts)
    total = np.where(every @ scores >= target - 1e-9, every @ energies, np.inf)
    return every[np.argmin(total)] > 0


def assign(links: list[tuple[int, int]], payload: np.ndarray, rates: np.ndarray) -> dict[tuple[int, int], int]:
    """The subcarrier of every link that minimises their summed payload over rate."""
    if not links:
        return {}
    price = np.array([payload[link] / rates[link] for link in links])
    rows, columns = linear_sum_assignment(price)
    return {links[row]: int(column) for row, column in zip(rows, columns, strict=True)}


def solve_jesa_plain(round: Round) -> Schedule:
    """JESA as docs/dmoe.md describes it."""
    config, rates = round.config, round.rates
    experts, states = config.num_experts, config.num_states
    links = [(i, j) for i in range(experts) for j in range(experts) if i != j]
    if config.num_subcarriers < len(links):
        raise ValueError(f"num_subcarriers = {config.num_subcarriers}: valid here are at least {len(links)}")
    joules_per_rate = config.transmit_power_w * config.state_size_bit
    target = round.attainable_threshold
    subcarrier = assign(links, np.ones((experts, experts)), rates)
    best, best_cost = None, np.inf
    while True:
        selected = np.zeros((experts, states, experts), bool)
        for i in range(experts):
            energies = config.computation_energy_j.copy()
            for j in range(experts):
                if i != j:
                    energies[j] += joules_per_rate / rates[i, j, subcarrier[i, j]]
            for n in range(states):
                selected[i, n] = des_enumeration(round.gate_scores[i, n], energies, target[i, n], config.max_experts)
        payload = selected.sum(1)
        active = assign([link for link in links if payload[link]], payload, rates)
        allocated = np.zeros(rates.shape, bool)
        for (i, j), m in active.items():
            allocated[i, j, m] = True
        schedule = Schedule(selected, allocated)
        total = cost(round, schedule)
        if total >= best_cost:
            return best
        best, best_cost = schedule, total
        free = np.ones(config.num_subcarriers, bool)
        free[list(active.values())] = False
        subcarrier = {
            (i, j): active[i, j] if (i, j) in active else int(np.argmax(np.where(free, rates[i, j], -1.0)))
            for i, j in links
        }

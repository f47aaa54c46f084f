"""Single-pass scheduling: select, choose links if subcarriers are too few, assign; nothing is iterated (our choice).

1. Every hidden state chooses its experts as if each link had its best subcarrier to itself (`survey`). If no two of the
   links that this uses want the same one, that is the schedule.
2. Where more links are wanted than there are subcarriers, a knapsack (`link_sets`) says which may be used, and hidden
   states choose again; links that bring little relevance on their own are not looked at (`choose_anew`).
3. The links are assigned optimally (`assign_and_cure`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit, njit_no_refcount, serial_or_parallel
from dmoe_gym.dmoe.physics.terms import attainable, repriced
from dmoe_gym.dmoe.solvers.des_kernel import FLOAT_ROWS, INT_ROWS, TOLERANCE, search
from dmoe_gym.dmoe.solvers.link_assignment import (
    LEAST_EFFICIENCY,
    assign_links,
    choose_links,
    new_assignment,
    new_knapsack,
    survey_links,
)
from dmoe_gym.dmoe.solvers.repair import cure, mark_taken, release_idle

# Rounds that share one workspace in a batch.
ROUNDS_PER_TASK = 32
# Of a unit of shortfall, where the threshold is hard: what relevance can be had is had at any energy.
HARD_PRICE = 1e9


class Scene(NamedTuple):
    """What is known of a round before links are priced, and workspace; filled by `survey`, one for many rounds."""

    best: np.ndarray  # (K, K) float32 largest efficiency of every link
    second: np.ndarray  # (K, K) float32 second largest
    route: np.ndarray  # (K, K) the subcarrier of the largest
    required: np.ndarray  # (K, N) relevance asked for, attainable
    missing: np.ndarray  # (K, N) what the own expert alone leaves missing
    payload: np.ndarray  # (K, K) hidden states on every link, own experts not counted
    wanted: np.ndarray  # (M,) links that want the subcarrier
    energies: np.ndarray  # (K, K)
    preference: np.ndarray  # (K, K)
    open_links: np.ndarray  # (K, K) bool
    taken: np.ndarray  # (M,) bool
    options: np.ndarray  # (K,) experts in reach of the node at hand, their energies and scores
    option_energy: np.ndarray
    option_score: np.ndarray
    top: np.ndarray  # (D,)
    outdated: np.ndarray  # (K,) bool, of `cure`
    assignment: tuple  # of `assign_links`
    floats: np.ndarray  # of `search`
    ints: np.ndarray


@njit
def new_scene(experts, states, subcarriers, limit):
    """An empty scene for K, N, M and D."""
    searched = limit > 2
    return Scene(
        np.zeros((experts, experts), np.float32),
        np.zeros((experts, experts), np.float32),
        np.zeros((experts, experts), np.int64),
        np.empty((experts, states)),
        np.empty((experts, states)),
        np.empty((experts, experts), np.int64),
        np.empty(subcarriers, np.int64),
        np.empty((experts, experts)),
        np.empty((experts, experts)),
        np.empty((experts, experts), np.bool_),
        np.empty(subcarriers, np.bool_),
        np.empty(experts, np.int64),
        np.empty(experts),
        np.empty(experts),
        np.empty(limit),
        np.empty(experts, np.bool_),
        new_assignment(min(experts * (experts - 1), experts * states * limit), subcarriers),
        np.empty((FLOAT_ROWS if searched else 0, experts)),
        np.empty((INT_ROWS if searched else 0, experts), np.int64),
    )


@njit_no_refcount
def price_links(best, constants, energies):
    """Energy of one hidden state of node i at expert j over the link's best subcarrier, (K, K)."""
    experts = best.shape[0]
    for i in range(experts):
        for j in range(experts):
            rate = max(np.float64(best[i, j]), LEAST_EFFICIENCY)
            energies[i, j] = constants.transmission / rate + constants.computation[j]
        energies[i, i] = constants.computation[i]


@njit_no_refcount
def select_all(gate_scores, price, limit, scene, selected):
    """Every hidden state's experts of least cost, and what links then carry; returns how many links carry something.

    For D <= 2 every expert and pair in reach is looked at, else it is `des_kernel.search`.
    """
    experts, states, _ = gate_scores.shape
    energies, required, payload = scene.energies, scene.required, scene.payload
    options, energy, score = scene.options, scene.option_energy, scene.option_score
    active = 0
    # indices instead of slices: a slice costs more than the loop over its few numbers
    for i in range(experts):
        count = 0
        for j in range(experts):
            payload[i, j] = 0
            options[count] = j
            energy[count] = energies[i, j]
            count += energies[i, j] < np.inf
        for n in range(states):
            if limit > 2:
                search(
                    gate_scores[i, n], energies[i], required[i, n], limit, price, selected[i, n],
                    scene.floats, scene.ints,
                )  # fmt: skip
                for j in range(experts):
                    payload[i, j] += selected[i, n, j]
                continue
            asked = required[i, n]
            least = np.inf
            first = other = 0
            # selections instead of branches, which could not be predicted here
            for a in range(count):
                score[a] = gate_scores[i, n, options[a]]
                own, missing = energy[a], asked - score[a]
                cost = own + price * max(0.0, missing)
                better = cost < least
                least = cost if better else least
                first = a if better else first
                other = a if better else other
                if limit > 1:
                    for b in range(a):
                        cost = own + energy[b] + price * max(0.0, missing - score[b])
                        better = cost < least
                        least = cost if better else least
                        first = b if better else first
                        other = a if better else other
            for j in range(experts):
                selected[i, n, j] = False
            first, other = options[first], options[other]
            selected[i, n, first] = True
            selected[i, n, other] = True
            payload[i, first] += 1
            payload[i, other] += first != other
        payload[i, i] = 0
        for j in range(experts):
            active += payload[i, j] > 0
    return active


@njit_no_refcount(forceinline=True)
def survey(gate_scores, efficiency, threshold, constants, scene, selected):
    """Select over every link's best subcarrier; returns how many links that uses, and how many want a taken one."""
    experts, states, _ = gate_scores.shape
    survey_links(efficiency, scene.best, scene.second, scene.route)
    hard = constants.selection_price == np.inf
    for i in range(experts):
        for n in range(states):
            reached = attainable(gate_scores[i, n], threshold, scene.top)
            scene.required[i, n] = reached - TOLERANCE if hard else reached
            scene.missing[i, n] = max(0.0, reached - gate_scores[i, n, i])
    scene.open_links[:] = True
    price_links(scene.best, constants, scene.energies)
    active = select_all(gate_scores, selection_price(constants), constants.max_experts, scene, selected)
    conflicts = 0
    scene.wanted[:] = 0
    for i in range(experts):
        for j in range(experts):
            if scene.payload[i, j] > 0:
                m = scene.route[i, j]
                conflicts += scene.wanted[m] > 0
                scene.wanted[m] += 1
    return active, conflicts


@njit_no_refcount
def selection_price(constants):
    """Of a unit of shortfall in the first selection; as good as infinite for a hard threshold."""
    if constants.selection_price == np.inf:
        return HARD_PRICE
    return min(constants.selection_price, constants.shortfall_price)


@njit_no_refcount
def prefer(gate_scores, constants, scene):
    """The relevance that every link brings its node on its own, less its energy, into scene.preference (K, K)."""
    experts, states, _ = gate_scores.shape
    for i in range(experts):
        for j in range(experts):
            scene.preference[i, j] = -scene.energies[i, j] / max(constants.shortfall_price, 1e-9)
        for n in range(states):
            for j in range(experts):
                scene.preference[i, j] += min(scene.missing[i, n], np.float64(gate_scores[i, n, j]))


@njit_no_refcount(forceinline=True)
def choose_anew(gate_scores, constants, scene, knapsack, selected):
    """Select over the links that the knapsack allows, where the surveyed round wants more than there are subcarriers.

    Args:
        scene: of `survey`; its energies and payload are overwritten.
        knapsack: of `new_knapsack`, for as many candidates as it shall look at per node.
        selected: (K, N, K) output.
    """
    experts = gate_scores.shape[0]
    limit = constants.max_experts
    prefer(gate_scores, constants, scene)
    choose_links(
        gate_scores, scene.energies, scene.required, constants.shortfall_price, limit, scene.preference,
        scene.taken.shape[0], knapsack, scene.floats, scene.ints, scene.open_links,
    )  # fmt: skip
    for i in range(experts):
        for j in range(experts):
            if i != j and not scene.open_links[i, j]:
                scene.energies[i, j] = np.inf
    select_all(gate_scores, constants.shortfall_price, limit, scene, selected)


@njit_no_refcount(forceinline=True)
def assign_and_cure(gate_scores, efficiency, threshold, constants, scarce, scene, selected, subcarrier):
    """Assign the links with payload; then no change of a hidden state's experts must cure a shortfall and pay."""
    moved = assign_links(scene.payload, efficiency, scene.route, scene.assignment, subcarrier)
    if not scarce and constants.selection_price == np.inf:
        return  # what relevance can be had is had
    if scarce and moved > 0:
        reprice(efficiency, subcarrier, constants, scene.energies)
        select_all(gate_scores, constants.shortfall_price, constants.max_experts, scene, selected)
        release_idle(selected, subcarrier)
    mark_taken(subcarrier, scene.taken)
    if not scene.taken.all():
        cure(
            gate_scores, efficiency, threshold, constants, selected, subcarrier, scene.taken,
            scene.top, scene.option_energy, scene.options, scene.outdated,
        )  # fmt: skip


@njit_no_refcount
def reprice(efficiency, subcarrier, constants, energies):
    """Energies (K, K) over the subcarriers that links hold; links without one are out of reach."""
    experts = energies.shape[0]
    for i in range(experts):
        for j in range(experts):
            if i != j:
                m = subcarrier[i, j]
                energies[i, j] = np.inf
                if m >= 0:
                    rate = max(np.float64(efficiency[i, j, m]), LEAST_EFFICIENCY)
                    energies[i, j] = constants.transmission / rate + constants.computation[j]


@njit
def single_pass_rounds(
    first, last, gate_scores, efficiency, thresholds, constants, candidates, selected, subcarrier
):  # fmt: skip
    """Schedule rounds first to last - 1 of a batch.

    Args:
        gate_scores: (B, K, N, K); efficiency: (B, K, K, M) float32; thresholds: (B,).
        constants: shortfall has the price `selection_price` in selections, infinite for a hard threshold, where
            subcarriers suffice, and `shortfall_price` where they do not.
        candidates: links per node that the knapsack looks at.
        selected, subcarrier: (B, K, N, K), (B, K, K) outputs.
    """
    _, experts, states, _ = gate_scores.shape
    subcarriers = efficiency.shape[3]
    scene = new_scene(experts, states, subcarriers, constants.max_experts)
    knapsack = new_knapsack(experts, subcarriers, candidates)
    _single_pass_rounds(
        first, last, gate_scores, efficiency, thresholds, constants, scene, knapsack, selected, subcarrier
    )


@njit_no_refcount
def _single_pass_rounds(
    first, last, gate_scores, efficiency, thresholds, constants, scene, knapsack, selected, subcarrier
):  # fmt: skip
    """`single_pass_rounds` with its workspaces."""
    for row in range(first, last):
        scores, rates, threshold = gate_scores[row], efficiency[row], np.float64(thresholds[row])
        active, _ = survey(scores, rates, threshold, constants, scene, selected[row])
        scarce = active > rates.shape[2]
        if scarce:
            choose_anew(scores, constants, scene, knapsack, selected[row])
        assign_and_cure(scores, rates, threshold, constants, scarce, scene, selected[row], subcarrier[row])


@serial_or_parallel
def single_pass_batch(gate_scores, efficiency, thresholds, constants, candidates, selected, subcarrier):
    """`single_pass_rounds` for a whole batch; the first argument is the number of rounds."""
    rounds = gate_scores.shape[0]
    for task in prange((rounds + ROUNDS_PER_TASK - 1) // ROUNDS_PER_TASK):
        first = task * ROUNDS_PER_TASK
        single_pass_rounds(
            first, min(rounds, first + ROUNDS_PER_TASK), gate_scores, efficiency, thresholds, constants, candidates,
            selected, subcarrier,
        )  # fmt: skip


@serial_or_parallel
def priced_single_pass_batch(gate_scores, efficiency, thresholds, constants, prices, candidates, selected, subcarrier):
    """`single_pass_batch` with a factor (B, K) on what every node's radio and expert take."""
    rounds, experts, states, _ = gate_scores.shape
    subcarriers = efficiency.shape[3]
    for task in prange((rounds + ROUNDS_PER_TASK - 1) // ROUNDS_PER_TASK):
        scene = new_scene(experts, states, subcarriers, constants.max_experts)
        knapsack = new_knapsack(experts, subcarriers, candidates)
        computation = np.empty(experts)
        own = repriced(constants, computation, constants.shortfall_price, constants.selection_price)
        rates = np.empty_like(efficiency[0])
        for row in range(task * ROUNDS_PER_TASK, min(rounds, (task + 1) * ROUNDS_PER_TASK)):
            for i in range(experts):
                computation[i] = constants.computation[i] * prices[row, i]
                for j in range(experts):
                    for m in range(subcarriers):
                        rates[i, j, m] = efficiency[row, i, j, m] / prices[row, i]
            one = slice(row, row + 1)
            _single_pass_rounds(
                0, 1, gate_scores[one], rates.reshape(1, experts, experts, subcarriers), thresholds[one], own, scene,
                knapsack, selected[one], subcarrier[one],
            )  # fmt: skip

"""JESA: joint expert and subcarrier allocation by alternating DES and assignment (arXiv 2503.13421)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit, njit_no_refcount, serial_or_parallel
from dmoe_gym.dmoe.physics import Constants, Round, Schedule
from dmoe_gym.dmoe.physics.terms import attainable, round_terms
from dmoe_gym.dmoe.solvers.des import MOST_EXPERTS, search_pairs
from dmoe_gym.dmoe.solvers.des_kernel import FLOAT_ROWS, INT_ROWS, search
from dmoe_gym.dmoe.solvers.linear_assignment import allocate, count_payload
from dmoe_gym.dmoe.solvers.repair import (
    best_free,
    copy_schedule,
    cure_shortfalls,
    drop_unserved,
    mark_taken,
    release_idle,
)

# The cost falls in every iteration but the last; two or three are usual.
MAX_ITERATIONS = 20


@njit
def provisional_subcarriers(efficiency, subcarrier):
    """One subcarrier on every link: the assignment over all links where they suffice, else each link's best."""
    experts, _, subcarriers = efficiency.shape
    if subcarriers >= experts * (experts - 1):
        everyone = np.ones((experts, experts), np.int64)
        allocate(everyone, efficiency, np.ones((experts, experts)), np.inf, subcarrier)
        return
    nobody = np.zeros(subcarriers, np.bool_)
    for i in range(experts):
        for j in range(experts):
            subcarrier[i, j] = best_free(efficiency[i, j], nobody) if i != j else -1


@njit_no_refcount
def link_energies(i, efficiency, subcarrier, constants, energies, capacity):
    """Energy of one hidden state of node i at every expert over the links' given subcarriers, into (K,) arrays.

    An expert whose link has no subcarrier, or not the rate for one hidden state in the slot, is out of reach.
    `capacity` gets the largest payload that every link delivers in the slot.
    """
    for j in range(energies.shape[0]):
        m = subcarrier[i, j]
        capacity[j] = np.inf
        if i == j:
            energies[j] = constants.computation[j]
        elif m >= 0 and efficiency[i, j, m] > 0:
            energies[j] = constants.transmission / efficiency[i, j, m] + constants.computation[j]
            if constants.slot_states < np.inf:
                capacity[j] = np.floor(constants.slot_states * efficiency[i, j, m])
                if capacity[j] < 1:
                    energies[j] = np.inf
        else:
            energies[j] = np.inf


@njit_no_refcount
def select_state(scores, energies, threshold, constants, selected, floats, ints, best):
    """DES for one hidden state (K,), its threshold hard or priced by `constants.selection_price`."""
    price = constants.selection_price
    if price == np.inf and constants.max_experts == 2 and scores.shape[0] <= MOST_EXPERTS:
        search_pairs(scores, energies, threshold, selected)
        return
    asked = threshold if price == np.inf else attainable(scores, threshold, best)
    search(scores, energies, asked, constants.max_experts, price, selected, floats, ints)


@njit_no_refcount
def _select_states(gate_scores, energies, threshold, constants, selected, floats, ints):
    """DES for the hidden states (N, K) of one node, each on its own; workspaces as for `select_node`."""
    states, experts = gate_scores.shape
    scores, best = floats[8], floats[9][: constants.max_experts]
    for n in range(states):
        for j in range(experts):
            scores[j] = gate_scores[n, j]
        select_state(scores, energies, threshold, constants, selected[n], floats, ints, best)


@njit
def select_node(gate_scores, energies, capacity, threshold, constants, selected, floats, ints):
    """DES for the hidden states (N, K) of one node.

    Where a link got more hidden states than it delivers in the slot, the one with the least to gain there chooses
    again without it, until no link is overloaded.

    Args:
        floats, ints: workspaces (FLOAT_ROWS, K) and (INT_ROWS, K).
    """
    _select_states(gate_scores, energies, threshold, constants, selected, floats, ints)
    if constants.slot_states < np.inf:
        _unload(gate_scores, energies, capacity, threshold, constants, selected, floats, ints)


@njit
def _unload(gate_scores, energies, capacity, threshold, constants, selected, floats, ints):
    """Let hidden states of one node choose again until no link is overloaded."""
    states, experts = gate_scores.shape
    barred = np.zeros((states, experts), np.bool_)
    scores, best, own = floats[8], floats[9][: constants.max_experts], floats[10]
    unchanged = False
    while not unchanged:
        unchanged = True
        for j in range(experts):
            payload = 0
            least = -1
            for n in range(states):
                if selected[n, j]:
                    payload += 1
                    if least < 0 or gate_scores[n, j] < gate_scores[least, j]:
                        least = n
            if payload <= capacity[j]:
                continue
            unchanged = False
            barred[least, j] = True
            for k in range(experts):
                scores[k] = gate_scores[least, k]
                own[k] = np.inf if barred[least, k] else energies[k]
            select_state(scores, own, threshold, constants, selected[least], floats, ints, best)


@njit
def select_experts(gate_scores, efficiency, subcarrier, threshold, constants, selected):
    """DES for every hidden state over the links' given subcarriers; a link without one is out of reach."""
    experts = gate_scores.shape[0]
    floats = np.empty((FLOAT_ROWS, experts))
    ints = np.empty((INT_ROWS, experts), np.int64)
    energies = np.empty(experts)
    capacity = np.empty(experts)
    _select_nodes(gate_scores, efficiency, subcarrier, threshold, constants, selected, floats, ints, energies, capacity)
    if constants.slot_states < np.inf:
        for i in range(experts):
            link_energies(i, efficiency, subcarrier, constants, energies, capacity)
            _unload(gate_scores[i], energies, capacity, threshold, constants, selected[i], floats, ints)


@njit_no_refcount
def _select_nodes(
    gate_scores, efficiency, subcarrier, threshold, constants, selected, floats, ints, energies, capacity
):  # fmt: skip
    """`select_experts` without a slot."""
    for i in range(gate_scores.shape[0]):
        link_energies(i, efficiency, subcarrier, constants, energies, capacity)
        _select_states(gate_scores[i], energies, threshold, constants, selected[i], floats, ints)


@njit
def complete(gate_scores, efficiency, threshold, constants, selected, subcarrier):
    """Best subcarriers for a selection, and a feasible schedule where there are too few of them.

    Links that get none are given up: their hidden states choose again among the experts still in reach.
    """
    experts = gate_scores.shape[0]
    payload = np.empty((experts, experts), np.int64)
    weights = np.empty((experts, experts))
    count_payload(gate_scores, selected, payload, weights)
    if allocate(payload, efficiency, weights, constants.slot_states, subcarrier) > 0:
        select_experts(gate_scores, efficiency, subcarrier, threshold, constants, selected)
        count_payload(gate_scores, selected, payload, weights)
        allocate(payload, efficiency, weights, constants.slot_states, subcarrier)
        drop_unserved(selected, subcarrier)
        release_idle(selected, subcarrier)
    # also where every link got one: DES knew only the links in reach then, and an idle one's subcarrier may be free now
    taken = np.empty(efficiency.shape[2], np.bool_)
    mark_taken(subcarrier, taken)
    cure_shortfalls(gate_scores, efficiency, threshold, constants, selected, subcarrier, taken)


@njit_no_refcount
def _noted(selected, note):
    """Note a selection (K, N, K); was it noted already?"""
    same = True
    experts, states, _ = selected.shape
    for i in range(experts):
        for n in range(states):
            for j in range(experts):
                same &= selected[i, n, j] == note[i, n, j]
                note[i, n, j] = selected[i, n, j]
    return same


@njit
def jesa(gate_scores, efficiency, threshold, constants, selected, subcarrier, max_iterations):
    """One round of JESA; the best iterate goes into selected (K, N, K) and subcarrier (K, K).

    Args:
        gate_scores: (K, N, K); efficiency: (K, K, M) bit/s/Hz; threshold: z gamma^l; constants: `Constants`.

    Returns:
        the number of iterations.
    """
    experts, _, _ = gate_scores.shape
    # observations have 32 bits, environments and prices 64: what is below is compiled once for both
    scores, rates = gate_scores.astype(np.float64), efficiency.astype(np.float64)
    provisional = np.empty((experts, experts), np.int64)
    draft = np.empty_like(selected)
    asked = np.zeros_like(selected)
    draft_subcarrier = np.empty((experts, experts), np.int64)
    link_efficiency = np.empty((experts, experts))
    best = np.empty(constants.max_experts)
    taken = np.empty(rates.shape[2], np.bool_)
    provisional_subcarriers(rates, provisional)
    best_cost = np.inf
    for iteration in range(max_iterations):
        select_experts(scores, rates, provisional, threshold, constants, draft)
        if _noted(draft, asked) and iteration > 0:
            return iteration + 1  # the same selection costs the same
        complete(scores, rates, threshold, constants, draft, draft_subcarrier)
        for i in range(experts):
            for j in range(experts):
                m = draft_subcarrier[i, j]
                link_efficiency[i, j] = rates[i, j, m] if m >= 0 else 0.0
        cost = round_terms(scores, draft, link_efficiency, None, threshold, constants, best)[4]
        if not cost < best_cost:
            return iteration + 1
        best_cost = cost
        copy_schedule(draft, draft_subcarrier, selected, subcarrier)
        mark_taken(draft_subcarrier, taken)
        for i in range(experts):
            for j in range(experts):
                m = draft_subcarrier[i, j]
                provisional[i, j] = m if m >= 0 or i == j else best_free(rates[i, j], taken)
    return max_iterations


@serial_or_parallel
def jesa_batch(gate_scores, efficiency, thresholds, constants, selected, subcarrier):
    """`jesa` for a leading batch axis of rounds; the first argument is the number of rounds."""
    for row in prange(gate_scores.shape[0]):
        jesa(
            gate_scores[row],
            efficiency[row],
            np.float64(thresholds[row]),
            constants,
            selected[row],
            subcarrier[row],
            MAX_ITERATIONS,
        )


def decided_by(rule: Callable[..., Any], round: Round, *further: Any, copy: bool = False) -> Schedule:
    """The schedule that a compiled rule writes for a round.

    Args:
        further: the rule's last arguments.
        copy: hand over writable copies, so that one compilation serves rounds and observations.
    """
    selected = np.zeros(round.gate_scores.shape, np.bool_)
    subcarrier = np.empty((round.config.num_experts,) * 2, np.int64)
    arrays = round.gate_scores, round.spectral_efficiency
    seen = [array.copy() for array in arrays] if copy else arrays
    rule(*seen, round.threshold, Constants.of(round.config), selected, subcarrier, *further)
    return Schedule.from_subcarriers(selected, subcarrier, round.config.num_subcarriers)


def solve_jesa(round: Round, *, max_iterations: int = MAX_ITERATIONS) -> Schedule:
    """JESA: alternate DES and subcarrier assignment until the cost no longer falls; the best iterate is returned.

    Where subcarriers run out, the links that carry the least relevance are given up, their hidden states choose
    again among the experts in reach, and shortfalls that are dearer than their cure are cured.

    Args:
        round: the round, with the channel as the scheduler knows it.
        max_iterations: 1 returns the first iterate.

    Raises:
        ValueError: if max_iterations is not a whole number of at least 1.
    """
    if isinstance(max_iterations, bool) or not isinstance(max_iterations, int | np.integer) or max_iterations < 1:
        raise ValueError(f"max_iterations = {max_iterations!r}: valid are whole numbers of at least 1")
    return decided_by(jesa, round, int(max_iterations))


def homogeneous(round: Round, z: float) -> Schedule:
    """JESA with threshold z in this and every other layer (importance factor 1).

    Raises:
        ValueError: if z lies outside [0, 1].
    """
    return solve_jesa(Round(round.gate_scores, round.gains, z, round.config))

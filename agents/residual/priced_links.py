"""Compiled: what a small network says of every link of a surveyed round, and schedules under it.

The network is `SharedNetwork` with softsign, evaluated for one round at a time; it sees what `survey` found, so it is
asked only where two links want the same subcarrier.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit, njit_no_refcount
from dmoe_gym.compiled.threads import serial_or_parallel
from dmoe_gym.dmoe.physics.terms import round_terms
from dmoe_gym.dmoe.solvers.link_assignment import LEAST_EFFICIENCY
from dmoe_gym.dmoe.solvers.link_sets import new_knapsack
from dmoe_gym.dmoe.solvers.single_pass import ROUNDS_PER_TASK, conclude, new_scene, settle, survey

# Of every link: see `look`.
INPUTS = 10
# A factor on the link's energy, less 1; and what is added to its preference.
OUTPUTS = 2
LEAST_FACTOR, MOST_FACTOR = 0.25, 4.0


@njit
def new_pad(experts):
    """Workspace of `look` and `judge`: inputs, their means, one link's; hidden values, outputs; factors, bonuses."""
    links = experts * experts
    return (
        np.zeros((INPUTS, links)),
        np.zeros(INPUTS),
        np.zeros(INPUTS),
        np.empty(links),
        np.empty((OUTPUTS, links)),
        np.ones((experts, experts)),
        np.zeros((experts, experts)),
    )


@njit_no_refcount
def look(gate_scores, constants, active, scene, pad):
    """The network's inputs (INPUTS, K * K), free of the scenario's scale, zero where i = j, and their means over links.

    Of the link: its largest score, the relevance that it would bring alone, mean over the node's states, transmission
    energy over its best subcarrier, what the second best costs more, links that want its best one beside it, the
    product of these two, the share of states that use it; of its node: relevance missing; of its expert: computation
    energy; of the round: links wanted per subcarrier.
    """
    experts, states, _ = gate_scores.shape
    subcarriers = scene.wanted.shape[0]
    inputs, mean, link_inputs = pad[0], pad[1], pad[2]
    mean[:] = 0.0
    link_inputs[9] = active / (active + subcarriers)
    for i in range(experts):
        need = 0.0
        for n in range(states):
            need += scene.missing[i, n]
        link_inputs[7] = need / states
        for j in range(experts):
            if i == j:
                continue
            largest = relevance = 0.0
            for n in range(states):
                score = np.float64(gate_scores[i, n, j])
                largest = max(largest, score)
                relevance += min(scene.missing[i, n], score)
            energy = constants.transmission / max(np.float64(scene.best[i, j]), LEAST_EFFICIENCY)
            regret = constants.transmission / max(np.float64(scene.second[i, j]), LEAST_EFFICIENCY) - energy
            used = scene.payload[i, j]
            rivals = scene.wanted[scene.route[i, j]] - (used > 0)
            link_inputs[0] = largest
            link_inputs[1] = relevance / states
            link_inputs[2] = energy
            link_inputs[3] = regret / (1.0 + regret)
            link_inputs[4] = rivals / (1.0 + rivals)
            link_inputs[5] = link_inputs[3] * link_inputs[4]
            link_inputs[6] = used / states
            link_inputs[8] = constants.computation[j]
            for f in range(INPUTS):
                inputs[f, i * experts + j] = link_inputs[f]
                mean[f] += link_inputs[f]
    for f in range(INPUTS):
        mean[f] /= experts * (experts - 1)


@njit_no_refcount
def judge(weights, width, experts, pad):
    """The network's outputs for the inputs in the pad, as factors and bonuses (K, K), into the pad.

    Args:
        weights: parameter vector of `SharedNetwork(INPUTS, OUTPUTS, width)`: A, B, c, V, W, U, b.
    """
    inputs, mean, _, hidden, outputs, factor, bonus = pad
    links = experts * experts
    # where each part starts
    at_b = INPUTS * OUTPUTS
    at_c = 2 * at_b
    at_v = at_c + OUTPUTS
    at_w = at_v + width * OUTPUTS
    at_u = at_w + INPUTS * width
    at_h = at_u + INPUTS * width
    for out in range(OUTPUTS):
        base = weights[at_c + out]
        for f in range(INPUTS):
            base += mean[f] * weights[at_b + f * OUTPUTS + out]
        for link in range(links):
            outputs[out, link] = base
        for f in range(INPUTS):
            weight = weights[f * OUTPUTS + out]
            for link in range(links):
                outputs[out, link] += weight * inputs[f, link]
    for unit in range(width):
        base = weights[at_h + unit]
        for f in range(INPUTS):
            base += mean[f] * weights[at_u + f * width + unit]
        for link in range(links):
            hidden[link] = base
        for f in range(INPUTS):
            weight = weights[at_w + f * width + unit]
            for link in range(links):
                hidden[link] += weight * inputs[f, link]
        for link in range(links):
            hidden[link] /= 1.0 + abs(hidden[link])
        for out in range(OUTPUTS):
            weight = weights[at_v + unit * OUTPUTS + out]
            for link in range(links):
                outputs[out, link] += weight * hidden[link]
    for i in range(experts):
        for j in range(experts):
            factor[i, j] = min(MOST_FACTOR, max(LEAST_FACTOR, 1.0 + outputs[0, i * experts + j]))
            bonus[i, j] = outputs[1, i * experts + j]


@njit
def plan_rounds(
    first, last, gate_scores, efficiency, thresholds, constants, candidates, weights, width, selected, subcarrier
):  # fmt: skip
    """Schedules of rounds first to last - 1 of a batch into selected (B, K, N, K) and subcarrier (B, K, K)."""
    _, experts, states, _ = gate_scores.shape
    subcarriers = efficiency.shape[3]
    scene = new_scene(experts, states, subcarriers, constants.max_experts)
    knapsack = new_knapsack(experts, subcarriers, candidates)
    pad = new_pad(experts)
    _plan_rounds(
        first, last, gate_scores, efficiency, thresholds, constants, weights, width, scene, knapsack, pad,
        selected, subcarrier,
    )  # fmt: skip


@njit_no_refcount
def _plan_rounds(
    first, last, gate_scores, efficiency, thresholds, constants, weights, width, scene, knapsack, pad,
    selected, subcarrier,
):  # fmt: skip
    """`plan_rounds` with its workspaces."""
    experts = gate_scores.shape[1]
    for row in range(first, last):
        scores, rates, threshold = gate_scores[row], efficiency[row], np.float64(thresholds[row])
        chosen, route = selected[row], subcarrier[row]
        active, conflicts = survey(scores, rates, threshold, constants, scene, chosen)
        if conflicts == 0:
            settle(scores, rates, threshold, constants, False, scene, chosen, route)
            continue
        look(scores, constants, active, scene, pad)
        judge(weights, width, experts, pad)
        conclude(scores, rates, threshold, constants, pad[5], pad[6], active, scene, knapsack, chosen, route)


@serial_or_parallel
def plan_batch(
    gate_scores, efficiency, thresholds, constants, candidates, weights, width, selected, subcarrier
):  # fmt: skip
    """`plan_rounds` for a whole batch; the first argument is the number of rounds."""
    rounds = gate_scores.shape[0]
    for task in prange((rounds + ROUNDS_PER_TASK - 1) // ROUNDS_PER_TASK):
        first = task * ROUNDS_PER_TASK
        plan_rounds(
            first, min(rounds, first + ROUNDS_PER_TASK), gate_scores, efficiency, thresholds, constants, candidates,
            weights, width, selected, subcarrier,
        )  # fmt: skip


@njit
def cost_batch(gate_scores, efficiency, thresholds, constants, candidates, weights, width, costs):
    """Costs (P, B) of a batch of rounds under P weights (P, size); what no weight changes is computed once."""
    batch, experts, states, _ = gate_scores.shape
    subcarriers = efficiency.shape[3]
    scene = new_scene(experts, states, subcarriers, constants.max_experts)
    knapsack = new_knapsack(experts, subcarriers, candidates)
    pad = new_pad(experts)
    selected = np.empty((experts, states, experts), np.bool_)
    subcarrier = np.empty((experts, experts), np.int64)
    held = np.zeros((experts, experts))
    best = np.empty(constants.max_experts)
    for row in range(batch):
        scores, rates, threshold = gate_scores[row], efficiency[row], np.float64(thresholds[row])
        active, conflicts = survey(scores, rates, threshold, constants, scene, selected)
        if conflicts > 0:
            look(scores, constants, active, scene, pad)
        for candidate in range(weights.shape[0] if conflicts > 0 else 1):
            if conflicts == 0:
                settle(scores, rates, threshold, constants, False, scene, selected, subcarrier)
            else:
                judge(weights[candidate], width, experts, pad)
                conclude(
                    scores, rates, threshold, constants, pad[5], pad[6], active, scene, knapsack, selected, subcarrier
                )  # fmt: skip
            for i in range(experts):
                for j in range(experts):
                    m = subcarrier[i, j]
                    held[i, j] = rates[i, j, m] if m >= 0 else 0.0
            costs[candidate, row] = round_terms(scores, selected, held, None, threshold, constants, best)[4]
        if conflicts == 0:
            costs[:, row] = costs[0, row]

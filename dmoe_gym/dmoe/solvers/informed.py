"""What a round costs at least in expectation, given what is observed of it (this project's choice).

The exact optimum knows the true channel; no scheduler does where knowledge is stale or noisy. This bound knows the
law of the present gains given the observed ones, and nothing else: no scheduler that sees the present observation
alone has a lower expected cost, so what lies between is all the room that a better one, learned or not, can have.
"""

from __future__ import annotations

from math import comb

import numpy as np

from dmoe_gym.compiled.njit import njit
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Constants, Round
from dmoe_gym.dmoe.physics.terms import attainable
from dmoe_gym.dmoe.solvers.delivery import ChannelLaw, expect_exactly
from dmoe_gym.dmoe.solvers.expected_cost import expected_relevance_cost

# Selections of a node that enumeration takes on.
MAX_SELECTIONS = 50_000


@njit
def _subsets(experts, limit):
    """Every set of 1 to `limit` experts, (S, experts) bool."""
    count = 0
    for code in range(1, 1 << experts):
        members = 0
        for j in range(experts):
            members += code >> j & 1
        count += members <= limit
    sets = np.zeros((count, experts), np.bool_)
    position = 0
    for code in range(1, 1 << experts):
        members = 0
        for j in range(experts):
            members += code >> j & 1
        if members <= limit:
            for j in range(experts):
                sets[position, j] = code >> j & 1
            position += 1
    return sets


@njit
def _node_bound(i, gate_scores, targets, chances, energies, constants, sets):
    """Least expected cost of node i over all selections of its hidden states, links (K, N) at their best."""
    states, experts = gate_scores.shape
    selected = np.zeros((states, experts), np.bool_)
    chance = np.empty(experts)
    active = np.empty(experts, np.int64)
    best = np.inf
    for choice in range(len(sets) ** states):
        rest = choice
        for n in range(states):
            selected[n] = sets[rest % len(sets)]
            rest //= len(sets)
        spent = 0.0
        count = 0
        for j in range(experts):
            payload = 0
            for n in range(states):
                payload += selected[n, j]
            if payload > 0 and j != i:
                spent += energies[j, payload - 1]
                active[count] = j
                count += 1
        if spent >= best:
            continue
        # the cost is linear in every link's chance, so least where each is either 0 or as large as it can be
        for corner in range(1 << count):
            chance[:] = 1.0
            for slot in range(count):
                j = active[slot]
                payload = 0
                for n in range(states):
                    payload += selected[n, j]
                chance[j] = 0.0 if corner >> slot & 1 else chances[j, payload - 1]
            best = min(best, spent + expected_relevance_cost(i, gate_scores, targets, selected, chance, constants))
    return best


@njit
def node_bounds(gate_scores, threshold, constants, success, energy):
    """Sum of the nodes' least expected costs, every link at its best of success, energy (K, K, M, N)."""
    experts, states, _ = gate_scores.shape
    sets = _subsets(experts, constants.max_experts)
    targets = np.empty(states)
    best = np.empty(constants.max_experts)
    chances, energies = np.empty((experts, states)), np.empty((experts, states))
    total = constants.round_energy
    for i in range(experts):
        for n in range(states):
            targets[n] = attainable(gate_scores[i, n], threshold, best)
        for j in range(experts):
            for n in range(states):
                chances[j, n] = success[i, j, :, n].max()
                energies[j, n] = energy[i, j, :, n].min()
        total += _node_bound(i, gate_scores[i], targets, chances, energies, constants, sets)
    return total / (experts * states * constants.max_experts)


def slots_stand_alone(config: DMoEConfig) -> bool:
    """Are rounds of their own, each a slot, and a node's selections few enough to enumerate?"""
    alone = config.relevance_budget is None and config.battery_j is None and config.slot_duration_s is not None
    sets = sum(comb(config.num_experts, size) for size in range(1, config.max_experts + 1))
    return alone and sets**config.num_states <= MAX_SELECTIONS


def informed_about(config: DMoEConfig) -> bool:
    """Does `informed_bound` hold for a configuration, with knowledge that is not perfect?

    Rounds must stand alone, and the law of a gain must be known from its own observation: subcarriers independent,
    no line of sight, mean gains known. Without a slot a transmission over an unknown gain has no finite expected
    energy. A node's selections must be few enough to enumerate.
    """
    law = config.gain_law(0)
    known = ChannelLaw.fits(law) and law.known_means and law.independent
    return slots_stand_alone(config) and known and not config.csi.is_perfect


def informed_bound(observed: Round, rounds_passed: int) -> float:
    """No schedule of one subcarrier per link has a lower expected cost, given the observed gains.

    Proof: given the observation links fail independently and a node's cost is its own, so the expected cost is a sum
    over nodes, in each of them linear in every link's success probability and growing with every link's expected
    energy. Both depend on the link's own subcarrier and payload alone; with any probability between 0 and the largest
    of any subcarrier, beside the least energy of any, a node can do no worse, and of a linear function an end is
    least. Every node's selections are enumerated. Probabilities and energies are integrals over the conditional law
    of the gain (`delivery`), exact within 1e-9.

    Schedulers that remember earlier observations may know a little more.

    Args:
        observed: the round as the scheduler sees it.
        rounds_passed: rounds of the episode before this one, 0 in the first.

    Raises:
        ValueError: unless `informed_about` the round's configuration.
    """
    config = observed.config
    if not informed_about(config):
        raise ValueError(
            f"channel = {config.channel!r}, csi = {config.csi!r}: valid for this bound are gains that are independent "
            "over links and subcarriers, of known means and law and without line of sight, under imperfect knowledge, "
            f"with a slot, without budget or batteries, with at most {MAX_SELECTIONS} selections per node"
        )
    constants = Constants.of(config)
    success, energy = expect_exactly(observed.gains, constants, ChannelLaw.of(config, rounds_passed), config.num_states)
    return float(node_bounds(observed.gate_scores, observed.threshold, constants, success, energy))

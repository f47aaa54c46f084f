"""Schedules over links that may be blocked, and what they cost at least in expectation."""

from __future__ import annotations

import numpy as np

from dmoe_gym.channel import BlockageConfig
from dmoe_gym.compiled.njit import njit
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Constants, Round
from dmoe_gym.dmoe.solvers.blockage_filter import log_ratio
from dmoe_gym.dmoe.solvers.expected_cost import expectations, expected_descent
from dmoe_gym.dmoe.solvers.informed import node_bounds, slots_stand_alone
from dmoe_gym.dmoe.solvers.jesa import MAX_ITERATIONS, jesa
from dmoe_gym.dmoe.solvers.repair import release_idle


@njit
def as_if_clear(efficiency, snr, depth, share):
    """The efficiencies (K, K, M) that would have been observed if no link had been blocked then."""
    clear = efficiency.copy()
    experts, _, subcarriers = efficiency.shape
    for i in range(experts):
        for j in range(experts):
            if i != j and log_ratio(efficiency[i, j], snr, depth, share) > 0:
                for m in range(subcarriers):
                    clear[i, j, m] = np.log2(1 + (2.0 ** efficiency[i, j, m] - 1) / depth)
    return clear


@njit
def blockage_jesa(
    gate_scores, efficiency, threshold, constants, law, depth, caution, prices, chance, probing, selected, subcarrier
):  # fmt: skip
    """One round of expected-cost JESA where a link may be blocked and is lost then.

    Args:
        gate_scores, threshold, constants, prices: as in `expected_jesa`.
        efficiency: (K, K, M) as observed; law: `ChannelLaw` of the fading; depth: a blocked link's factor on its gains.
        caution: (K,) factors on the odds that links are blocked.
        chance: (K, K) probability that they are.
        probing: (K,) what learning the state of an even link is worth to its node [unit]: chance (1 - chance) 4 of it
            is taken off a transmission's energy, as far as that goes.
        selected, subcarrier: (K, N, K), (K, K) outputs.
    """
    experts = efficiency.shape[0]
    clear = as_if_clear(efficiency, constants.snr_per_gain, depth, law.observed_share)
    targets, predicted, success, energy = expectations(
        gate_scores, clear, threshold, constants, law, np.ones(experts), prices
    )
    slot = constants.transmission * constants.slot_states
    for i in range(experts):
        for j in range(experts):
            if i == j:
                continue
            odds = caution[i] * chance[i, j]
            blocked = odds / (1 - chance[i, j] + odds)
            predicted[i, j] *= 1 - blocked
            success[i, j] *= 1 - blocked
            energy[i, j] += blocked * (slot * prices[i] - energy[i, j])
            # no energy may be negative, for assignments
            energy[i, j] -= min(probing[i] * 4 * chance[i, j] * (1 - chance[i, j]), energy[i, j].min())
    jesa(gate_scores, predicted, threshold, constants, selected, subcarrier, MAX_ITERATIONS)
    release_idle(selected, subcarrier)
    expected_descent(gate_scores, targets, predicted, success, energy, constants, selected, subcarrier)


def known_about(config: DMoEConfig) -> bool:
    """Does `blockage_bound` hold for a configuration?"""
    return slots_stand_alone(config) and isinstance(config.channel, BlockageConfig)


def blockage_bound(round: Round) -> float:
    """The least expected cost of a round for whoever knows every link's rates, its last state and its present fading.

    Proof: a policy knows no more of the present states than their rates and last states tell, for chains are Markov,
    so it can do no better than whoever is told those; given them the links are blocked independently of each other,
    and `informed_bound`'s argument holds for each link's two outcomes in the place of a fading gain.

    Args:
        round: the true round, of whose states `blocked_chance` alone is used.

    Raises:
        ValueError: unless `known_about` the round's configuration.
    """
    config = round.config
    if not known_about(config) or round.blocked is None or round.blocked_chance is None:
        raise ValueError(
            f"channel = {config.channel!r}: valid for this bound is a blockage's true round, with a slot, without "
            "budget or batteries"
        )
    assert isinstance(config.channel, BlockageConfig)
    constants, depth = Constants.of(config), config.channel.depth
    payloads = np.arange(1, config.num_states + 1)
    clear = round.gains / np.where(round.blocked, depth, 1.0)[..., None]
    success, energy = np.zeros((2, *clear.shape, config.num_states))
    for chance, gains in ((1 - round.blocked_chance, clear), (round.blocked_chance, clear * depth)):
        rates = np.maximum(np.log2(1 + config.mean_snr * gains), 1e-12)[..., None]
        delivers = payloads <= config.slot_states * rates
        success += chance[..., None, None] * delivers
        energy += chance[..., None, None] * np.where(delivers, payloads / rates, config.slot_states)
    energy *= constants.transmission
    own = np.arange(config.num_experts)
    success[own, own], energy[own, own] = 0.0, np.inf
    return float(node_bounds(round.gate_scores, round.threshold, constants, success, energy))

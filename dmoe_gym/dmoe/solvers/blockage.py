"""Links that may be blocked: what is believed of them, schedules over them, and what those cost at least.

The filter is the forward algorithm of a two-state chain of unknown rates: the rates (a, b) of leaving the clear and the
blocked state are one of a grid, and the posterior of (rates, state) is carried as one number for each pair. The
channel's estimate of a round comes d rounds late, a transmission's outcome one round late; so the posterior stands d
rounds back, and the outcomes since are applied anew on the way to the present.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dmoe_gym.channel import BlockageConfig
from dmoe_gym.compiled.njit import njit, serial_or_parallel
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Constants, Round
from dmoe_gym.dmoe.solvers.expected_cost import expectations, expected_descent
from dmoe_gym.dmoe.solvers.informed import node_bounds, slots_stand_alone
from dmoe_gym.dmoe.solvers.jesa import MAX_ITERATIONS, jesa
from dmoe_gym.dmoe.solvers.repair import release_idle

# Probability of an outcome that is not the state's own (this project's choice): fading loses now and then, too.
UNLIKELY = 0.02
# Estimates are believed up to this logarithm of their likelihood ratio.
CLEAREST = 20.0


@njit
def log_ratio(efficiency, snr, depth, share):
    """Of an estimate (M,), log-likelihood of blocked over clear: gains of mean `share`, or depth times that."""
    gains = 0.0
    for m in range(efficiency.shape[0]):
        gains += (2.0 ** np.float64(efficiency[m]) - 1) / snr
    return gains / share * (1 - 1 / depth) - efficiency.shape[0] * np.log(depth)


@njit
def _apply(weights, told):
    """Multiply (G, 2) weights by the likelihood of an outcome: 1 delivered, -1 lost, 0 nothing sent."""
    if told != 0:
        for g in range(weights.shape[0]):
            weights[g, 0] *= UNLIKELY if told < 0 else 1 - UNLIKELY
            weights[g, 1] *= 1 - UNLIKELY if told < 0 else UNLIKELY


@njit
def _move(weights, rates):
    """One round on."""
    for g in range(weights.shape[0]):
        clear, blocked = weights[g]
        weights[g, 0] = clear * (1 - rates[g, 0]) + blocked * rates[g, 1]
        weights[g, 1] = clear * rates[g, 0] + blocked * (1 - rates[g, 1])


@njit
def _see(weights, ratio):
    """Multiply by an estimate's likelihoods, given their ratio's logarithm, and normalise."""
    factor = np.exp(min(max(ratio, -CLEAREST), CLEAREST))
    total = 0.0
    for g in range(weights.shape[0]):
        weights[g, 1] *= factor
        total += weights[g, 0] + weights[g, 1]
    for g in range(weights.shape[0]):
        weights[g] /= total


@serial_or_parallel
def filter_links(layers, efficiency, delivered, lost, snr, depth, share, delay, rates, weights, told, chance):
    """Bring what is believed of a batch's links up to date with the observation of a round.

    Args:
        layers: (B,) the rounds' numbers, from 1; in round 1, and where nothing is remembered, all is begun anew.
        efficiency: (B, K, K, M) as observed, `delay` rounds late; delivered, lost: (B, K, K) of the round before.
        snr, depth, share: mean SNR at gain 1, a blocked link's factor, mean of an estimate over the gain's.
        rates: (G, 2), all as likely at first, or (B, K, K, G, 2), every link's own.
        weights: (B, K, K, G, 2), told: (B, delay + 1, K, K) int8: the memory, changed in place.
        chance: (B, K, K) output, probability that a link is blocked now.
    """
    experts = efficiency.shape[1]
    for row in prange(efficiency.shape[0]):
        for i in range(experts):
            for j in range(experts):
                if i == j:
                    continue
                ratio = log_ratio(efficiency[row, i, j], snr, depth, share)
                sent = delivered[row, i, j] - lost[row, i, j]
                own = rates[row, i, j] if rates.ndim > 2 else rates
                chance[row, i, j] = _filter(
                    layers[row] - 1, ratio, sent, delay, own, weights[row, i, j], told[row, :, i, j]
                )


@njit
def _filter(passed, ratio, sent, delay, rates, weights, told):
    """One link, when so many rounds have passed."""
    if passed <= 0 or weights.sum() == 0:
        told[:] = 0
        for g in range(rates.shape[0]):
            blocked = rates[g, 0] / (rates[g, 0] + rates[g, 1])
            weights[g, 0], weights[g, 1] = 1 - blocked, blocked
        _see(weights, ratio)
    else:
        told[(passed - 1) % (delay + 1)] = np.int8(sent)
        if passed > delay:
            _apply(weights, told[(passed - 1 - delay) % (delay + 1)])
            _move(weights, rates)
            _see(weights, ratio)
    draft = weights.copy()
    for time in range(max(0, passed - delay), passed):
        _apply(draft, told[time % (delay + 1)])
        _move(draft, rates)
    return draft[:, 1].sum() / draft.sum()


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

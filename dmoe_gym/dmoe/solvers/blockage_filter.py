"""What is believed of links that may be blocked: the forward algorithm of a two-state chain of unknown rates.

The rates (a, b) of leaving the clear and the blocked state are one of a grid, and the posterior of (rates, state) is
carried as one number for each pair. The channel's estimate of a round comes d rounds late, a transmission's outcome one
round late; so the posterior stands d rounds back, and the outcomes since are applied anew on the way to the present.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit
from dmoe_gym.compiled.threads import serial_or_parallel

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

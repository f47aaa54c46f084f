"""How long a transmission takes if it is delivered: the mean over the gains that deliver it, not at the mean gain.

Of a link of Rayleigh-type fading let r be the root of twice the present gain over its conditional variance: given one
observation it has Rice's law f(r) = r exp(-(r^2 + s^2) / 2) I0(r s) (`dmoe_gym.channel.prediction`). The rate is
log2(1 + a r^2) with a = SNR * variance / 2, and a payload is delivered in the slot from a root r0 on. So

    success = integral of f from r0,    duration = integral of f / log2(1 + a r^2) from r0,

per hidden state, neither with a closed form. They are integrated over ln r, where a steep start is smooth."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple, TypeGuard

import numpy as np
from scipy.special import chndtr, ive

from dmoe_gym.channel.process import FadingLaw, GainLaw
from dmoe_gym.compiled.njit import njit
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Constants


class ChannelLaw(NamedTuple):
    """The law of the present gains, as numbers for compiled code."""

    trust: float  # rho^2: weight of the observed gain in the conditional mean
    variance: float  # of the present amplitude given the observed one, over the local mean gain
    observed_share: float  # 1 - v: mean of the observed gain over the local mean gain
    local_means: bool  # must every link's local mean gain be estimated, as the mean over its subcarriers?
    table: np.ndarray  # `outage_table`
    durations: np.ndarray  # `duration_table`

    @classmethod
    def of(cls, config: DMoEConfig, rounds_passed: int, law: GainLaw | None = None) -> ChannelLaw:
        """What the configuration says of an observation when so many rounds of the episode have passed.

        Args:
            law: of the gains given the observed ones, instead of the channel's.

        Raises:
            ValueError: for a channel of unknown law, or with a line of sight, whose law is another.
        """
        law = law or config.gain_law(rounds_passed)
        if not cls.fits(law):
            raise ValueError(
                f"channel = {config.channel!r}: valid are channels whose law is known, of Rayleigh type and without "
                "line of sight"
            )
        share = 1 - law.error_variance
        trust = law.correlation**2
        variance = 1 - trust * share
        scale = config.mean_snr * variance / 2 if law.known_means else None
        durations = duration_table(config.slot_states, config.num_states, scale)
        return cls(trust, variance, share, not law.known_means, outage_table(), durations)

    @staticmethod
    def fits(law: GainLaw | None) -> TypeGuard[FadingLaw]:
        """Is a law one that these numbers can say?"""
        return isinstance(law, FadingLaw) and not law.has_line_of_sight


@njit
def expect(efficiency, constants, law, caution, prices, states, predicted, success, energy):
    """Fill what is expected of every link, subcarrier and payload of one round.

    Args:
        efficiency: (K, K, M) as observed.
        caution: (K,) factors on the outage probabilities of every node's links; 1 to believe them.
        prices: (K,) factors on the energy of every node's links.
        predicted: (K, K, M) output, spectral efficiency at the conditional mean gain.
        success: (K, K, M, N) output, probability that a payload of 1..N hidden states is delivered in the slot.
        energy: (K, K, M, N) output, expected energy of the transmission: of a delivered one given that it is, at the
            gains that deliver it, of an outage for the whole slot. Without a slot it has no finite expectation, since
            deep fades last as long as they are deep, and is that of the predicted rate.
    """
    experts, _, subcarriers = efficiency.shape
    snr = constants.snr_per_gain
    needed = np.zeros(states)
    if constants.slot_states < np.inf:
        for payload in range(1, states + 1):
            needed[payload - 1] = (2 ** (payload / constants.slot_states) - 1) / snr
    gains = np.empty(subcarriers)
    for i in range(experts):
        for j in range(experts):
            if i == j:
                predicted[i, j] = 0.0
                success[i, j] = 0.0
                energy[i, j] = np.inf
                continue
            mean = 0.0
            for m in range(subcarriers):
                gains[m] = (2.0 ** efficiency[i, j, m] - 1) / snr
                mean += gains[m]
            mean = max(mean / subcarriers / law.observed_share, 1e-12) if law.local_means else 1.0
            for m in range(subcarriers):
                power = law.trust * gains[m]
                rate = np.log2(1 + snr * (power + law.variance * mean))
                predicted[i, j, m] = rate
                for payload in range(1, states + 1):
                    if rate <= 0:
                        success[i, j, m, payload - 1] = 0.0
                        energy[i, j, m, payload - 1] = np.inf
                        continue
                    chance = 1.0
                    spent = payload / rate
                    if constants.slot_states < np.inf:
                        below = probability_below(law.table, needed[payload - 1] / mean, power / mean, law.variance)
                        chance = max(0.0, 1 - caution[i] * below)
                        spent *= longer(law.durations[payload - 1], snr * mean, power / mean, law.variance)
                        spent = chance * min(spent, constants.slot_states) + (1 - chance) * constants.slot_states
                    success[i, j, m, payload - 1] = chance
                    energy[i, j, m, payload - 1] = constants.transmission * spent * prices[i]


def expect_exactly(
    gains: np.ndarray, constants: Constants, law: ChannelLaw, states: int
) -> tuple[np.ndarray, np.ndarray]:
    """What `expect` fills, by numerical integration instead of tables, for links of known mean gain and under a slot.

    Args:
        gains: (K, K, M) as observed.

    Returns:
        success, energy (K, K, M, N), the energy [unit] infinite for a node's own expert.
    """
    payloads = np.arange(1, states + 1)
    power = law.trust * gains.astype(float)[..., None]
    with np.errstate(over="ignore"):  # infinite where no gain is enough for so short a slot
        needed = np.expm1(payloads / constants.slot_states * np.log(2)) / constants.snr_per_gain
    if law.variance <= CERTAIN:
        chance = (power >= needed).astype(float)
        with np.errstate(divide="ignore"):
            time = chance / np.log2(1 + constants.snr_per_gain * np.maximum(power, needed))
    else:
        half = law.variance / 2
        chance, time = delivery(constants.snr_per_gain * half, np.sqrt(power / half), np.sqrt(needed / half))
    energy = constants.transmission * (payloads * time + (1 - chance) * constants.slot_states)
    own = np.arange(len(gains))
    chance[own, own], energy[own, own] = 0.0, np.inf
    return chance, energy


NODES = 64
# Roots further from s than this have a probability below 1e-15.
FURTHEST = 9.0
# A conditional variance below this counts as none.
CERTAIN = 1e-9

# The table's grid: roots s, and ln a.
ROOT_STEP, LARGEST_ROOT = 0.25, 40.0
SCALE_STEP, SMALLEST_SCALE, LARGEST_SCALE = 0.25, -6.0, 12.0


def delivery(scale: np.ndarray | float, root: np.ndarray, least: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Probability of delivery, and mean of 1 / rate over the deliveries times that probability.

    Args:
        scale: a of the rate log2(1 + a r^2), more than 0.
        root: s of Rice's law; least: r0, from which on is delivered, more than 0. All broadcast.

    Returns:
        success, duration [s Hz / bit], of the arguments' shape; exact within 1e-9.
    """
    scale, root, least = np.broadcast_arrays(np.asarray(scale, float), root, least)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    # beyond the furthest root nothing is delivered, however far that is
    low = np.log(np.clip(least, root - FURTHEST, root + FURTHEST))[..., None]
    high = np.log(root + FURTHEST)[..., None]
    r = np.exp(low + (high - low) * (nodes + 1) / 2)
    s = root[..., None]
    density = r * np.exp(-((r - s) ** 2) / 2) * ive(0, r * s)
    mass = density * r * weights * (high - low) / 2
    return np.minimum(mass.sum(-1), 1.0), (mass / np.log2(1 + scale[..., None] * r**2)).sum(-1)


@cache
def duration_table(slot_states: float, states: int, scale: float | None) -> np.ndarray:
    """How many times longer a delivered payload takes than at the mean gain, for compiled code; read-only.

    Args:
        slot_states: hidden states per bit/s/Hz that the slot delivers; infinite without a slot.
        states: N; scale: a, where all links have the same; None for all of them.

    Returns:
        (N, scales, roots) of factors on 1 / log2(1 + a (s^2 + 2)), s^2 + 2 being the mean of r^2; 1 where next to
        nothing is delivered. With one scale, the first axis of scales has length 1.
    """
    roots = np.arange(0, LARGEST_ROOT + ROOT_STEP / 2, ROOT_STEP)
    scales = np.exp(np.arange(SMALLEST_SCALE, LARGEST_SCALE + SCALE_STEP / 2, SCALE_STEP))
    if scale is not None:
        scales = np.array([scale])
    table = np.ones((states, len(scales), len(roots)))
    if slot_states < np.inf and (scales > 0).all():
        for payload in range(1, states + 1):
            with np.errstate(over="ignore"):  # as in `expect_exactly`
                least = np.sqrt(np.expm1(payload / slot_states * np.log(2)) / scales)[:, None]
            success, duration = delivery(scales[:, None], roots, least)
            at_the_mean = 1 / np.log2(1 + scales[:, None] * (roots**2 + 2))
            likely = success > 1e-9
            table[payload - 1][likely] = (duration[likely] / success[likely]) / at_the_mean[likely]
    table.setflags(write=False)
    return table


@njit
def longer(table, snr, mean_power, variance):
    """The factor of one payload's table (scales, roots), for a link of the given SNR at its mean gain.

    Args:
        snr: at the local mean gain, linear; mean_power, variance: of the amplitude, over the local mean gain.
    """
    if variance <= CERTAIN:
        return 1.0
    column = np.sqrt(2 * mean_power / variance) / ROOT_STEP
    if column >= table.shape[1] - 1:
        return 1.0  # next to no spread is left
    row = 0.0
    if table.shape[0] > 1:
        row = (np.log(snr * variance / 2) - SMALLEST_SCALE) / SCALE_STEP
        row = min(max(row, 0.0), table.shape[0] - 1.0)
    top, left = min(int(row), max(table.shape[0] - 2, 0)), int(column)
    bottom = min(top + 1, table.shape[0] - 1)
    down, right = row - top, column - left
    above = table[top, left] * (1 - right) + table[top, left + 1] * right
    below = table[bottom, left] * (1 - right) + table[bottom, left + 1] * right
    return above * (1 - down) + below * down


OUTAGE_STEP = 0.1
LARGEST_OUTAGE_ROOT = 40.0  # beyond, the distribution of the root is normal and the table's last row serves
WIDEST = 6.0  # the tails beyond have less than 1e-8


@cache
def outage_table() -> np.ndarray:
    """(roots, differences) float64: P(X <= (s + d)^2), X noncentral chi-square of noncentrality s^2; read-only."""
    roots = np.arange(0, LARGEST_OUTAGE_ROOT + OUTAGE_STEP / 2, OUTAGE_STEP)[:, None]
    differences = np.arange(-WIDEST, WIDEST + OUTAGE_STEP / 2, OUTAGE_STEP)[None, :]
    table = chndtr(np.maximum(roots + differences, 0) ** 2, 2, roots**2)
    table[np.broadcast_to(roots + differences <= 0, table.shape)] = 0
    table.setflags(write=False)
    return table


@njit
def probability_below(table, needed, mean_power, variance):
    """P(|x|^2 < needed) for x complex normal of |mean|^2 = mean_power and of the given variance."""
    if variance <= 1e-9:
        return 1.0 if mean_power < needed else 0.0
    root = np.sqrt(2 * mean_power / variance)
    column = (np.sqrt(2 * needed / variance) - root + WIDEST) / OUTAGE_STEP
    if column <= 0:
        return 0.0
    if column >= table.shape[1] - 1:
        return 1.0
    row = min(root / OUTAGE_STEP, table.shape[0] - 1.0)
    top = min(int(row), table.shape[0] - 2)
    left = int(column)
    down, right = row - top, column - left
    above = table[top, left] * (1 - right) + table[top, left + 1] * right
    below = table[top + 1, left] * (1 - right) + table[top + 1, left + 1] * right
    return above * (1 - down) + below * down

"""How long a transmission takes if it is delivered: the mean over the gains that deliver it, not at the mean gain.

Of a link of Rayleigh-type fading let r be the root of twice the present gain over its conditional variance: given one
observation it has Rice's law f(r) = r exp(-(r^2 + s^2) / 2) I0(r s) (`dmoe_gym.channel.prediction`). The rate is
log2(1 + a r^2) with a = SNR * variance / 2, and a payload is delivered in the slot from a root r0 on. So

    success = integral of f from r0,    duration = integral of f / log2(1 + a r^2) from r0,

per hidden state, neither with a closed form. They are integrated over ln r, where a steep start is smooth.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import ive

from dmoe_gym.compiled.njit import njit

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
    low = np.log(np.maximum(least, root - FURTHEST))[..., None]
    high = np.log(np.maximum(root + FURTHEST, least))[..., None]
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

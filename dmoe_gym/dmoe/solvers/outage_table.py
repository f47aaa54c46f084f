"""The outage probability of Rayleigh-type fading as a table, for compiled code.

Given one observation, twice the present gain over the conditional variance is noncentral chi-square with two degrees
of freedom (`dmoe_gym.channel.prediction`). Its distribution function is tabulated over the noncentrality's root s and
the argument's root minus s, where it is smooth, and interpolated: within 1e-3 of SciPy's, a thousand times as fast.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import chndtr

from dmoe_gym.compiled.njit import njit

STEP = 0.1
LARGEST_ROOT = 40.0  # beyond, the distribution of the root is normal and the table's last row serves
WIDEST = 6.0  # the tails beyond have less than 1e-8


@cache
def outage_table() -> np.ndarray:
    """(roots, differences) float64: P(X <= (s + d)^2), X noncentral chi-square of noncentrality s^2; read-only."""
    roots = np.arange(0, LARGEST_ROOT + STEP / 2, STEP)[:, None]
    differences = np.arange(-WIDEST, WIDEST + STEP / 2, STEP)[None, :]
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
    column = (np.sqrt(2 * needed / variance) - root + WIDEST) / STEP
    if column <= 0:
        return 0.0
    if column >= table.shape[1] - 1:
        return 1.0
    row = min(root / STEP, table.shape[0] - 1.0)
    top = min(int(row), table.shape[0] - 2)
    left = int(column)
    down, right = row - top, column - left
    above = table[top, left] * (1 - right) + table[top, left + 1] * right
    below = table[top + 1, left] * (1 - right) + table[top + 1, left + 1] * right
    return above * (1 - down) + below * down

"""Optimal bandwidth of a block for given tokens per device: the convex min-max problem, solved exactly.

    minimise max_k n_k t_k(B_k)   subject to   sum_k B_k <= B

Every t_k falls strictly with B_k, so at the optimum all devices with tokens finish together and use B up; no other
allocation can be as fast, for it gives some device less. The solver searches that common latency.

Substitution that keeps it exact where gains differ by many orders of magnitude: a device's time per token is its
floor (computation, and transmission with unlimited bandwidth) plus an excess. With x = 1/B_k and z = cn0 x,

    excess = payload ln2 sum over both directions of x psi(z) ,   psi(z) = 1/ln(1+z) - 1/z  in (0, 1/2]

x psi(z) is increasing and concave in x (z/ln(1+z) is the integral of (1+z)^u over u in [0, 1]), so Newton's method
from the left reaches x without any safeguard. The latency is searched as its distance from the largest floor, by
Newton steps on 1/(bandwidth needed), kept inside a bracket by bisection.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit, serial_or_parallel
from dmoe_gym.wdmoe.physics.block import Block
from dmoe_gym.wdmoe.physics.latency import LN2, block_latency, log_of_one_plus

# Newton's relative error after a step of relative size e is below e^2 / 10, the curvature of x psi being small: these
# leave errors of about 1e-12.
_LAST_STEP = 2e-6
_NEARNESS = 1e-6
# Far from the solution there is no need for more: errors of about 1e-5.
_COARSE_STEP = 1e-2
_COARSE_NEARNESS = 1e-3
_LARGEST_STEPS = 200


def allocate_bandwidth(block: Block, selected: np.ndarray) -> np.ndarray:
    """The bandwidths with the least block latency for a selection, exact to 1e-9 relative.

    Args:
        selected: (J, U) bool, or (U,) the tokens of every device.

    Returns:
        (U,) float64 [Hz], using all of `bandwidth_hz`; 0 for devices without tokens.

    Raises:
        ValueError: for another shape or a negative number of tokens.
    """
    selected = np.asarray(selected)
    tokens = selected.sum(axis=0) if selected.shape == block.gate_weights.shape else selected
    if tokens.shape != block.downlink_gains.shape:
        valid = f"{block.gate_weights.shape} or {block.downlink_gains.shape}"
        raise ValueError(f"selected: has shape {selected.shape}, valid is {valid}")
    if not (np.isfinite(tokens) & (tokens >= 0)).all():
        raise ValueError(f"selected: tokens per device are {tokens.tolist()}, valid are finite and not negative")
    bandwidth = np.zeros(len(tokens))
    allocate_bandwidth_block(tokens.astype(np.float64), *block.links, bandwidth)
    return bandwidth


@serial_or_parallel(entries_per_round=64)
def allocate_bandwidth_batch(
    tokens, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, bandwidth, latency
):
    """`allocate_bandwidth_block` of a batch: (B, U) in, `bandwidth` (B, U) and `latency` (B,) are written.

    Arrays are trusted, not checked; every row comes out the same bits in whatever batch.
    """
    for row in prange(tokens.shape[0]):
        latency[row] = allocate_bandwidth_block(
            tokens[row],
            downlink_cn0[row],
            uplink_cn0[row],
            computation_time[row],
            payload,
            total_bandwidth,
            bandwidth[row],
        )


@njit
def allocate_bandwidth_block(tokens, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, bandwidth):
    """Write the optimal `bandwidth` (U,) [Hz] of one block and return its latency [s].

    Arguments: (U,) float64 tokens, cn0 of both directions [Hz], computation time [s/token]; payload [bit], total
    bandwidth [Hz].
    """
    devices = tokens.shape[0]
    # per device: x = 1 / B_k, its derivative by the block latency, tokens * payload * ln2, and how far the floor of
    # its own time lies under the largest
    x, slopes, weights, gaps = np.empty((4, devices))
    active, floor = 0, 0.0
    for k in range(devices):
        bandwidth[k] = 0.0
        if tokens[k] > 0:
            active += 1
            weights[k] = tokens[k] * payload * LN2
            gaps[k] = weights[k] * (1.0 / downlink_cn0[k] + 1.0 / uplink_cn0[k]) + tokens[k] * computation_time[k]
            floor = max(floor, gaps[k])
    if active == 0:
        return 0.0
    # bracket of the latency above the floor: a device alone on the whole band is too fast, equal shares are too slow
    lowest, highest = 0.0, 0.0
    for k in range(devices):
        if tokens[k] > 0:
            gaps[k] = floor - gaps[k]
            x[k] = active / total_bandwidth
            lowest = max(
                lowest, weights[k] * _excess(1.0 / total_bandwidth, downlink_cn0[k], uplink_cn0[k])[0] - gaps[k]
            )
            highest = max(highest, weights[k] * _excess(x[k], downlink_cn0[k], uplink_cn0[k])[0] - gaps[k])
    above = lowest if active == 1 else np.sqrt(lowest * highest)
    last_step = _COARSE_STEP
    for _ in range(_LARGEST_STEPS):
        needed, slope = 0.0, 0.0
        for k in range(devices):
            if tokens[k] > 0:
                x[k], derivative = inverse_bandwidth(
                    (above + gaps[k]) / weights[k], downlink_cn0[k], uplink_cn0[k], x[k], last_step
                )
                slopes[k] = 1.0 / (weights[k] * derivative)
                needed += 1.0 / x[k]
                slope += slopes[k] / (x[k] * x[k])
        change = (needed * needed / total_bandwidth - needed) / slope
        deviation = abs(needed / total_bandwidth - 1.0)
        if (last_step == _LAST_STEP and deviation <= _NEARNESS) or highest - lowest <= 1e-15 * highest:
            break
        if last_step == _LAST_STEP or deviation > _COARSE_NEARNESS:  # coarse needs are good to 1e-5
            if needed > total_bandwidth:
                lowest = above
            else:
                highest = above
        if deviation <= 10 * _COARSE_NEARNESS:
            last_step = _LAST_STEP
        above += change
        if not lowest < above < highest:
            above = 0.5 * (lowest + highest)
    # so near, the tangent is as exact as another search; scaling takes up what rounding leaves
    needed = 0.0
    for k in range(devices):
        if tokens[k] > 0:
            bandwidth[k] = 1.0 / (x[k] + slopes[k] * change)
            needed += bandwidth[k]
    for k in range(devices):
        bandwidth[k] *= total_bandwidth / needed
    return block_latency(tokens, bandwidth, downlink_cn0, uplink_cn0, computation_time, payload)


@njit
def needed_bandwidth(time, downlink_cn0, uplink_cn0, computation_time, payload):
    """Bandwidth with which one token takes `time` [s] on a device [Hz]; infinite where no bandwidth suffices."""
    scale = payload * LN2
    target = (time - computation_time) / scale - 1.0 / downlink_cn0 - 1.0 / uplink_cn0
    if target <= 0.0:
        return np.inf
    return 1.0 / inverse_bandwidth(target, downlink_cn0, uplink_cn0, 0.0, _LAST_STEP)[0]


@njit
def inverse_bandwidth(target, downlink_cn0, uplink_cn0, start, last_step):
    """x = 1/B [1/Hz] with excess x psi(z_down) + x psi(z_up) == target, and the excess' derivative near there.

    `start` is any guess, 0 if there is none; the search ends with a step of relative size `last_step`.
    """
    x = max(start, target)  # psi <= 1/2 twice: the excess at x = target is at most target
    derivative = 1.0
    for _ in range(_LARGEST_STEPS):
        value, derivative = _excess(x, downlink_cn0, uplink_cn0)
        step = (target - value) / derivative
        x = max(x + step, target)  # a first step from the right of the root can go too far
        if abs(step) <= last_step * x:
            break
    return x, derivative


@njit
def _excess(x, downlink_cn0, uplink_cn0):
    """x psi(cn0 x) added up over both directions (x in 1/Hz: s per bit, but for ln2), and its derivative by x."""
    value_down, derivative_down = _psi(downlink_cn0 * x)
    value_up, derivative_up = _psi(uplink_cn0 * x)
    return x * (value_down + value_up), derivative_down + derivative_up


@njit
def _psi(z):
    """psi(z) = 1/ln(1+z) - 1/z, and d/dz (z psi(z))."""
    if z < 0.01:  # the difference cancels; Gregory's series
        value = 1 / 2 + z * (-1 / 12 + z * (1 / 24 + z * (-19 / 720 + z * (3 / 160 - z * 863 / 60480))))
        slope = 1 / 2 + z * (-1 / 6 + z * (1 / 8 + z * (-19 / 180 + z * (3 / 32 - z * 863 / 10080))))
        return value, slope
    inverse = 1.0 / log_of_one_plus(z)
    return inverse - 1.0 / z, inverse - z / (1.0 + z) * inverse * inverse

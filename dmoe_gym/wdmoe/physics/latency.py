"""How long a block takes: the device that finishes last sets it, for attention waits for all experts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import prange

from dmoe_gym.channel.large_scale import path_gain
from dmoe_gym.compiled.njit import njit, serial_or_parallel
from dmoe_gym.wdmoe.config import WDMoEConfig
from dmoe_gym.wdmoe.physics.block import Allocation, Block, mean_relevance, require_fit


def reference_latency(config: WDMoEConfig) -> float:
    """What block latencies are divided by [s]: J D / U tokens on one typical device.

    The device stands at the median distance, has no fading, an equal share B / U of the bandwidth in both directions
    and the mean of all devices' computation times.
    """
    nearest, farthest = config.distance_range_m
    gain = float(path_gain(((nearest**2 + farthest**2) / 2) ** 0.5, config.carrier_hz))
    time = token_time(
        config.bandwidth_hz / config.num_devices,
        config.base_station_power_w * gain / config.noise_density,
        config.device_power_w * gain / config.noise_density,
        float((config.token_flops / config.device_speeds).mean()),
        config.payload_bit,
    )
    return time * config.num_tokens * config.max_experts / config.num_devices


def token_unit(config: WDMoEConfig) -> float:
    """Unit of observed computation times [s]: what the reference latency leaves for one token."""
    return reference_latency(config) * config.num_devices / (config.num_tokens * config.max_experts)


def shortfall(block: Block, allocation: Allocation) -> float:
    """How far the mean relevance stays under the block's budget, in [0, 1]."""
    return max(0.0, block.relevance_budget - mean_relevance(block, allocation.selected))


def cost(block: Block, allocation: Allocation) -> float:
    """latency / reference latency + V * shortfall.

    Raises:
        ValueError: where the allocation has another size than the block.
    """
    relative = latency(block, allocation).total / reference_latency(block.config)
    return relative + block.config.shortfall_price * shortfall(block, allocation)


LN2 = float(np.log(2.0))


@dataclass(frozen=True, eq=False)
class Latency:
    """Latency of one block [s].

    `downlink + uplink + computation + waiting == total`: each part is the mean over the devices that serve tokens,
    `waiting` being how long such a device idles until the slowest one is done (this project's choice of parts).

    Attributes:
        total: the largest of `device_times` (infinite where a device has tokens and no bandwidth).
        downlink, uplink, computation, waiting: the parts.
        device_downlink, device_uplink, device_computation: (U,) times of every device for all its tokens.
        device_times: (U,) their sums; 0 for a device without tokens.
    """

    total: float
    downlink: float
    uplink: float
    computation: float
    waiting: float
    device_downlink: np.ndarray
    device_uplink: np.ndarray
    device_computation: np.ndarray
    device_times: np.ndarray


def latency(block: Block, allocation: Allocation) -> Latency:
    """The latency of a block under an allocation (docs/wdmoe.md): max over devices of tokens times time per token.

    Raises:
        ValueError: where the allocation has another size than the block.
    """
    require_fit(block, allocation)
    tokens = allocation.tokens
    downlink, uplink, computation = np.zeros((3, len(tokens)))
    payload = block.config.payload_bit
    for device in np.flatnonzero(tokens):
        count, bandwidth = tokens[device], allocation.bandwidth[device]
        downlink[device] = count * transmission_time(bandwidth, block.downlink_cn0[device], payload)
        uplink[device] = count * transmission_time(bandwidth, block.uplink_cn0[device], payload)
        computation[device] = count * block.computation_time[device]
    times = downlink + uplink + computation
    total = float(times.max())
    active = tokens > 0
    if not active.any():
        return Latency(0.0, 0.0, 0.0, 0.0, 0.0, downlink, uplink, computation, times)
    # an infinite device time leaves others waiting for ever, itself not at all
    waiting = np.where(times == total, 0.0, total - np.where(np.isfinite(times), times, 0.0))[active].mean()
    mean_down, mean_up, mean_computation = (float(part[active].mean()) for part in (downlink, uplink, computation))
    return Latency(total, mean_down, mean_up, mean_computation, float(waiting), downlink, uplink, computation, times)


def token_times(block: Block, bandwidth: np.ndarray) -> np.ndarray:
    """t[k]: time that one token takes on every device under `bandwidth` (U,) [Hz], (U,) [s]; infinite without any."""
    payload = block.config.payload_bit
    return np.array(
        [
            token_time(bandwidth[k], block.downlink_cn0[k], block.uplink_cn0[k], block.computation_time[k], payload)
            for k in range(len(bandwidth))
        ]
    )


def weight_to_latency_ratio(block: Block, allocation: Allocation) -> float:
    """WLR: sum over the selections of `w[j, k] / t[k]` in 1/s, the gate weights renormalised over a token's selection.

    Renormalised weights are those with which the answers are averaged. With the gate's own weights dropping an
    expert could only lower the sum, whatever its latency, and a search for a larger sum would never drop one
    (this project's reading).

    Raises:
        ValueError: where the allocation has another size than the block.
    """
    require_fit(block, allocation)
    weights = np.where(allocation.selected, block.gate_weights, 0.0)
    sums = weights.sum(axis=1, keepdims=True)
    weights = np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)
    return float((weights / token_times(block, allocation.bandwidth)).sum())


@njit
def log_of_one_plus(z):
    """ln(1 + z), z >= 0; five times as fast as log1p where the 1 costs no digits, which is where links work."""
    return np.log(1.0 + z) if z > 1.0 else np.log1p(z)


@njit
def transmission_time(bandwidth, cn0, payload):
    """payload / (B log2(1 + cn0 / B)) [s]; bandwidth and cn0 [Hz], payload [bit]. Infinite without bandwidth."""
    if bandwidth <= 0.0:
        return np.inf
    if bandwidth < 1e-18 * cn0:  # the quotient could overflow; the 1 is far below rounding here
        return payload * LN2 / (bandwidth * (np.log(cn0) - np.log(bandwidth)))
    return payload * LN2 / (bandwidth * log_of_one_plus(cn0 / bandwidth))


@njit
def token_time(bandwidth, downlink_cn0, uplink_cn0, computation_time, payload):
    """t[k]: both transmissions and the computation of one token [s]."""
    down = transmission_time(bandwidth, downlink_cn0, payload)
    return down + transmission_time(bandwidth, uplink_cn0, payload) + computation_time


@njit
def block_latency(tokens, bandwidth, downlink_cn0, uplink_cn0, computation_time, payload):
    """Latency of one block [s] from (U,) arrays: tokens per device, bandwidth [Hz], cn0 [Hz], computation [s/token]."""
    total = 0.0
    for k in range(tokens.shape[0]):
        if tokens[k] > 0:
            time = token_time(bandwidth[k], downlink_cn0[k], uplink_cn0[k], computation_time[k], payload)
            total = max(total, tokens[k] * time)
    return total


@serial_or_parallel(entries_per_round=1024)
def latency_batch(tokens, bandwidth, downlink_cn0, uplink_cn0, computation_time, payload, total):
    """`block_latency` of a batch: (B, U) arrays in, `total` (B,) [s] is written. Arrays are trusted, not checked."""
    for row in prange(tokens.shape[0]):
        total[row] = block_latency(
            tokens[row], bandwidth[row], downlink_cn0[row], uplink_cn0[row], computation_time[row], payload
        )


@serial_or_parallel(entries_per_round=1024)
def token_times_batch(bandwidth, downlink_cn0, uplink_cn0, computation_time, payload, times):
    """`token_times` of a batch: (B, U) arrays in, `times` (B, U) [s] is written. Arrays are trusted, not checked."""
    for row in prange(times.shape[0]):
        for k in range(times.shape[1]):
            times[row, k] = token_time(
                bandwidth[row, k], downlink_cn0[row, k], uplink_cn0[row, k], computation_time[row, k], payload
            )

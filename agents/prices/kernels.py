"""Blocks scheduled by prices that a small shared network corrects, compiled.

The pricings are those of `dmoe_gym.wdmoe.solvers.priced`; what the network corrects are the prices at a guess of
latency and loads. A block comes out the same bits in whatever batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit
from dmoe_gym.compiled.threads import serial_or_parallel
from dmoe_gym.wdmoe.policies import Observed
from dmoe_gym.wdmoe.solvers.bandwidth import allocate_bandwidth_block
from dmoe_gym.wdmoe.solvers.greedy import solve_greedy_block
from dmoe_gym.wdmoe.solvers.priced import begin_pricing, marginal_price, price_devices, select_at_prices

# Numbers that the network reads of every device: see `_describe`.
INPUTS = 8
LARGEST_OUTPUT = 5.0


class Settings(NamedTuple):
    """What is the same for all blocks.

    Fields:
        payload: one token's hidden state [bit]; bandwidth: B [Hz]; max_experts: D.
        rounds, polish: see `schedule_block`; width: of the network's hidden layer.
    """

    payload: float
    bandwidth: float
    max_experts: int
    rounds: int
    polish: bool
    width: int


class Blocks(NamedTuple):
    """Observed blocks: (B, J, U) gate weights; (B, U) links [Hz] and s per token; (B,) least mean relevance."""

    gate_weights: np.ndarray
    downlink_cn0: np.ndarray
    uplink_cn0: np.ndarray
    computation_time: np.ndarray
    budget: np.ndarray

    @classmethod
    def of(cls, observed: Observed) -> Blocks:
        """The arrays of observed blocks."""
        return cls(*(getattr(observed, name) for name in cls._fields))


@njit
def shared_outputs(parameters, inputs, width, hidden, outputs):
    """`SharedNetwork` with one output: (size,) parameters, (U, I) inputs, workspace (width,), outputs (U,) written."""
    items, count = inputs.shape
    mean = np.zeros(count)
    for u in range(items):
        for i in range(count):
            mean[i] += inputs[u, i]
    constant = parameters[2 * count]
    for i in range(count):
        mean[i] /= items
        constant += mean[i] * parameters[count + i]
    first = 2 * count + 1 + width  # of W, U and b, which follow A, B, c and V
    for k in range(width):
        hidden[k] = parameters[first + 2 * count * width + k]
        for i in range(count):
            hidden[k] += mean[i] * parameters[first + (count + i) * width + k]
    for u in range(items):
        total = constant
        for i in range(count):
            total += inputs[u, i] * parameters[i]
        for k in range(width):
            argument = hidden[k]
            for i in range(count):
                argument += inputs[u, i] * parameters[first + i * width + k]
            total += np.tanh(argument) * parameters[2 * count + 1 + k]
        outputs[u] = total


@njit
def _describe(blocks, row, settings, step, latency, first, equal, demand, top, tokens, load, prices, inputs):
    """Write the network's inputs (U, I): pure numbers, the same in whatever units, and for any numbers of devices.

    0 log price before the correction and 1 log price at equal loads, both less their means over the devices; 2 gate
    weights that ask for the device against an even share, log; 3 tokens now against the load, log; 4 share of the
    latency that an equal load computes; 5 share of the demand in the gate's choice, log; 6 latency against the gate's
    choice, log; 7 which pricing.
    """
    count, devices = blocks.gate_weights.shape[1:]
    mean_price, mean_equal = prices.mean(), 0.0
    for u in range(devices):
        down, up, computation = blocks.downlink_cn0[row, u], blocks.uplink_cn0[row, u], blocks.computation_time[row, u]
        inputs[u, 0] = prices[u] - mean_price
        inputs[u, 1] = np.log(
            marginal_price(latency, equal, down, up, computation, settings.payload, settings.bandwidth)
        )
        mean_equal += inputs[u, 1] / devices
        inputs[u, 2] = np.log((demand[u] + 0.01) * devices / count)
        inputs[u, 3] = np.log((tokens[u] + 1.0) / (load[u] + 1.0))
        inputs[u, 4] = computation * equal / latency
        inputs[u, 5] = np.log((top[u] + 0.1) / (demand[u] + 0.1))
        inputs[u, 6] = np.log(latency / first)
        inputs[u, 7] = 1.0 / (1.0 + step)
    for u in range(devices):
        inputs[u, 1] -= mean_equal


@njit
def schedule_block(parameters, blocks, row, settings, selected, bandwidth, inputs, prices):
    """Write the best of several pricings into `selected` (J, U) and `bandwidth` (U,) [Hz]; return its latency [s].

    `solve_priced`, but that prices are multiplied by exp(output), and that without `polish` selections are compared as
    the prices make them.

    Args:
        parameters: (size,) of the network.
        blocks, row: which block.
        inputs, prices: (rounds, U, I) and (rounds, U): what the network was told at every pricing, log prices; written.
    """
    gate_weights, budget = blocks.gate_weights[row], blocks.budget[row]
    down, up, computation = blocks.downlink_cn0[row], blocks.uplink_cn0[row], blocks.computation_time[row]
    payload, band, limit = settings.payload, settings.bandwidth, settings.max_experts
    count, devices = gate_weights.shape
    trial = np.zeros((count, devices), np.bool_)
    shares, tokens, load, outputs, demand, top = np.zeros((6, devices))
    hidden = np.zeros(settings.width)
    first = begin_pricing(gate_weights, down, up, computation, payload, band, limit, trial, tokens, load, shares)
    for j in range(count):
        for u in range(devices):
            demand[u] += gate_weights[j, u]
            if trial[j, u]:
                top[u] += gate_weights[j, u]
    equal = load[0]
    latency, best = first, np.inf
    for step in range(settings.rounds):
        now, told = prices[step], inputs[step]
        price_devices(step, latency, down, up, computation, payload, band, tokens, load, prices[step - 1], now)
        _describe(blocks, row, settings, step, latency, first, equal, demand, top, tokens, load, now, told)
        shared_outputs(parameters, told, settings.width, hidden, outputs)
        for u in range(devices):
            now[u] += min(max(outputs[u], -LARGEST_OUTPUT), LARGEST_OUTPUT)
        select_at_prices(now, gate_weights, limit, budget, shares, trial, tokens)
        if settings.polish:
            latency = solve_greedy_block(gate_weights, down, up, computation, payload, band, budget, trial, shares)
        else:
            latency = allocate_bandwidth_block(tokens, down, up, computation, payload, band, shares)
        if latency < best:
            best = latency
            selected[:] = trial
            bandwidth[:] = shares
    return best


def schedule_batch(
    parameters: np.ndarray,
    blocks: Blocks,
    settings: Settings,
    selected: np.ndarray,
    bandwidth: np.ndarray,
    latency: np.ndarray,
    inputs: np.ndarray,
    prices: np.ndarray,
) -> None:
    """`schedule_block` of a batch: (B, J, U) selections, (B, U) bandwidths, (B,) latencies and traces are written."""
    _schedule_batch(
        blocks.gate_weights.size / 32, parameters, blocks, settings, selected, bandwidth, latency, inputs, prices
    )


@serial_or_parallel
def _schedule_batch(parameters, blocks, settings, selected, bandwidth, latency, inputs, prices):
    for row in prange(latency.shape[0]):
        latency[row] = schedule_block(
            parameters, blocks, row, settings, selected[row], bandwidth[row], inputs[row], prices[row]
        )


def candidate_latencies(parameters: np.ndarray, blocks: Blocks, settings: Settings) -> np.ndarray:
    """Latencies (P, B) [s] of every block under every one of P parameter vectors (P, size)."""
    latency = np.empty((len(parameters), len(blocks.budget)))
    _candidate_latencies(len(parameters) * blocks.gate_weights.size / 32, parameters, blocks, settings, latency)
    return latency


@serial_or_parallel
def _candidate_latencies(parameters, blocks, settings, latency):
    count, devices = blocks.gate_weights.shape[1:]
    for row in prange(latency.shape[1]):
        selected, bandwidth = np.zeros((count, devices), np.bool_), np.zeros(devices)
        inputs, prices = np.zeros((settings.rounds, devices, INPUTS)), np.zeros((settings.rounds, devices))
        for candidate in range(latency.shape[0]):
            latency[candidate, row] = schedule_block(
                parameters[candidate], blocks, row, settings, selected, bandwidth, inputs, prices
            )

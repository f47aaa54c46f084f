"""Expert selection by the weight-to-latency ratio (WLR), and the gate's own choice."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit, serial_or_parallel
from dmoe_gym.config import checked_array
from dmoe_gym.wdmoe.physics.block import Block, mean_relevance
from dmoe_gym.wdmoe.physics.latency import token_times

Direction = Literal["above", "below"]
DIRECTIONS: tuple[Direction, ...] = ("above", "below")
# room for rounding in a mean of gate weights, as wide as that of `physics.check`
RELEVANCE_TOLERANCE = 1e-9


def checked_relevance(block: Block, relevance: float | None) -> float:
    """The mean relevance that a selection has to reach: the block's budget where None is given.

    Raises:
        ValueError: where no selection reaches it.
    """
    if relevance is None:
        return block.relevance_budget
    best = mean_relevance(block, top_k(block))
    if not 0 <= relevance <= best + RELEVANCE_TOLERANCE:
        raise ValueError(f"relevance = {relevance!r}: valid are 0 to {best}, what the best experts reach")
    return float(relevance)


def top_k(block: Block, k: int | None = None) -> np.ndarray:
    """The k experts with the largest gate weights of every token (the lower index on a tie), (J, U) bool.

    Args:
        k: 1 to U; None takes `max_experts`.

    Raises:
        ValueError: for another k.
    """
    devices = block.config.num_devices
    k = block.config.max_experts if k is None else k
    if not 1 <= k <= devices:
        raise ValueError(f"k = {k!r}: valid are 1 to {devices}")
    selected = np.zeros(block.gate_weights.shape, bool)
    top_k_block(block.gate_weights, k, selected)
    return selected


def select_experts(
    block: Block,
    bandwidth: np.ndarray | None = None,
    *,
    direction: Direction = "below",
    theta: float | None = None,
    step: float = 0.02,
) -> np.ndarray:
    """The gate's choice, less the weakest expert of the tokens that fail the cosine-similarity test.

    The test compares the similarity of a token's gate weights and the devices' times per token with theta:
    `direction="above"` drops where the similarity is larger than theta, `"below"` where it is smaller. theta moves in
    steps from where no token fails the test to where all do, and stops before the step that would not increase the
    WLR (`physics.weight_to_latency_ratio`) or would take the mean relevance under the block's budget. Policy:
    arXiv 2405.03131 and 2411.06681 in this project's reading; start, step and stop at the budget are this project's.

    Which direction pays, at equal relevance given away (`python -m benchmarks.wdmoe_directions`): "below" with few
    devices (block latency 0.888 against 0.947 of the gate's choice's on `testbed`, 0.929 against 0.937 on `mixtral`
    at a share of 0.95), "above" with many (0.939 against 0.963 on `crowd`). Neither does better than dropping the
    smallest gate weights first (0.875, 0.905, 0.926), and `solve_greedy` is well ahead of both (0.828, 0.859, 0.898).

    Args:
        bandwidth: (U,) that the times per token hold for [Hz]; None shares it equally. Devices without bandwidth
            take no part in the test.
        theta: fixes the threshold: one test, no search (and no regard for the budget).
        step: of the search, in (0, 1].

    Returns:
        (J, U) bool; every token keeps at least one expert.

    Raises:
        ValueError: for another direction, step or shape of `bandwidth`.
    """
    devices = block.config.num_devices
    if direction not in DIRECTIONS:
        raise ValueError(f"direction = {direction!r}: valid are {', '.join(DIRECTIONS)}")
    if not 0 < step <= 1:
        raise ValueError(f"step = {step!r}: valid are more than 0 to 1")
    if bandwidth is None:
        bandwidth = np.full(devices, block.config.bandwidth_hz / devices)
    times = token_times(block, checked_array("bandwidth", bandwidth, (devices,), minimum=0.0))
    if theta is not None and not np.isfinite(theta):
        raise ValueError(f"theta = {theta!r}: valid are finite numbers")
    selected = top_k(block)
    above = direction == "above"
    if theta is None:
        budget = min(block.relevance_budget, mean_relevance(block, selected))
        select_experts_block(block.gate_weights, times, above, step, budget, selected)
    else:
        similarity, weakest, _ = _drops(block.gate_weights, times, selected)
        fails = (similarity > theta) if above else (similarity < theta)
        rows = np.flatnonzero(fails & (weakest >= 0))
        selected[rows, weakest[rows]] = False
    return selected


@serial_or_parallel(entries_per_round=512)
def select_experts_batch(gate_weights, times, max_experts, above, step, budget, selected):
    """`top_k_block`, then `select_experts_block`, of a batch: gate weights (B, J, U), times (B, U), budget (B,).

    `selected` (B, J, U) bool is written. Arrays are trusted, not checked.
    """
    for row in prange(gate_weights.shape[0]):
        top_k_block(gate_weights[row], max_experts, selected[row])
        select_experts_block(gate_weights[row], times[row], above, step, budget[row], selected[row])


@njit
def top_k_block(gate_weights, k, selected):
    """Write the k largest gate weights of every token into `selected` (J, U) bool; the lower index wins a tie."""
    for j in range(gate_weights.shape[0]):
        selected[j] = False
        for _ in range(k):
            best = -1
            for u in range(gate_weights.shape[1]):
                if not selected[j, u] and (best < 0 or gate_weights[j, u] > gate_weights[j, best]):
                    best = u
            selected[j, best] = True


@njit
def select_experts_block(gate_weights, times, above, step, budget, selected):
    """The theta search of `select_experts` for one block; takes experts out of `selected` (J, U) bool in place.

    `times` (U,) [s per token], infinite for a device without bandwidth; `budget` is the least mean relevance.
    """
    tokens = gate_weights.shape[0]
    similarity, weakest, gain = _drops(gate_weights, times, selected)
    relevance = 0.0
    for j in range(tokens):
        for u in range(gate_weights.shape[1]):
            if selected[j, u]:
                relevance += gate_weights[j, u]
    # tokens in the order in which the moving threshold reaches them
    order = np.argsort(-similarity, kind="mergesort") if above else np.argsort(similarity, kind="mergesort")
    steps = int(np.ceil(1.0 / step))
    reached = 0
    for index in range(1, steps + 1):
        theta = 1.0 - index * step if above else index * step
        last = index == steps  # similarities lie in [0, 1]: the last threshold is past all of them
        until, change, loss = reached, 0.0, 0.0
        while until < tokens:
            j = order[until]
            if not (last or (similarity[j] > theta if above else similarity[j] < theta)):
                break
            if weakest[j] >= 0:
                change += gain[j]
                loss += gate_weights[j, weakest[j]]
            until += 1
        if until == reached:
            continue
        if change <= 0.0 or relevance - loss < budget * tokens * (1 - 1e-12):
            return
        for position in range(reached, until):
            j = order[position]
            if weakest[j] >= 0:
                selected[j, weakest[j]] = False
        relevance -= loss
        reached = until


@njit
def _drops(gate_weights, times, selected):
    """Per token: cosine similarity of weights and times, its weakest selected expert (-1: only one), WLR gain."""
    tokens, devices = gate_weights.shape
    similarity, gain = np.zeros(tokens), np.zeros(tokens)
    weakest = np.full(tokens, -1)
    square = 0.0
    for u in range(devices):
        if times[u] < np.inf:
            square += times[u] * times[u]
    for j in range(tokens):
        product, norm, count, total, ratio = 0.0, 0.0, 0, 0.0, 0.0
        for u in range(devices):
            weight = gate_weights[j, u]
            if times[u] < np.inf:
                product += weight * times[u]
                norm += weight * weight
            if selected[j, u]:
                count += 1
                total += weight
                ratio += weight / times[u]
                if weakest[j] < 0 or weight <= gate_weights[j, weakest[j]]:
                    weakest[j] = u
        if norm > 0.0 and square > 0.0:
            similarity[j] = min(1.0, product / np.sqrt(norm * square))
        if count < 2:
            weakest[j] = -1
            continue
        weight = gate_weights[j, weakest[j]]
        if total > weight:  # renormalised weights, before and after
            gain[j] = (ratio - weight / times[weakest[j]]) / (total - weight) - ratio / total
    return similarity, weakest, gain

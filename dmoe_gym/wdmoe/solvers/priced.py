"""Selection at prices per token of a device, which are found by pricing again and again (this project's method).

A token on device u costs a price, and every token takes the experts of largest w - price / mu (`discounts`): the form
of the optimum of the budget-constrained problem but for whole tokens. At the optimum of the relaxed problem the price
is the bandwidth that one token more needs at the block's latency. That latency and the loads are not known beforehand,
so they are guessed, and each selection is the next guess."""

from __future__ import annotations

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit, serial_or_parallel
from dmoe_gym.wdmoe.physics.block import Allocation, Block
from dmoe_gym.wdmoe.physics.latency import LN2
from dmoe_gym.wdmoe.solvers.bandwidth import allocate_bandwidth_block, inverse_bandwidth
from dmoe_gym.wdmoe.solvers.greedy import solve_greedy_block
from dmoe_gym.wdmoe.solvers.selection import checked_relevance, top_k_block

# Room for rounding in a mean of gate weights, well inside what `check` allows.
BUDGET_TOLERANCE = 1e-10
# Halvings of the discounts' common factor: to 4e-6, within which no two tokens change their experts but by chance.
HALVINGS = 18


@njit
def selected_relevance(gate_weights, selected):
    """Mean over the tokens of the selected experts' gate weights."""
    total = 0.0
    for j in range(gate_weights.shape[0]):
        for u in range(gate_weights.shape[1]):
            if selected[j, u]:
                total += gate_weights[j, u]
    return total / gate_weights.shape[0]


@njit
def select_discounted(gate_weights, discounts, factor, max_experts, selected):
    """Write the experts under discounts times a factor into `selected` (J, U) bool; the lower index wins a tie."""
    devices = gate_weights.shape[1]
    for j in range(gate_weights.shape[0]):
        selected[j] = False
        for count in range(max_experts):
            best, most = -1, 0.0
            for u in range(devices):
                value = gate_weights[j, u] - factor * discounts[u]
                if not selected[j, u] and (best < 0 or value > most):
                    best, most = u, value
            if count > 0 and most < 0.0:
                break
            selected[j, best] = True


@njit
def discounted_relevance(gate_weights, discounts, factor, values, weights):
    """Mean relevance of what `select_discounted` would write; `values`, `weights` (D,) are workspaces."""
    total = 0.0
    last = values.shape[0] - 1
    for j in range(gate_weights.shape[0]):
        values[:] = -np.inf
        for u in range(gate_weights.shape[1]):
            value = gate_weights[j, u] - factor * discounts[u]
            if value > values[last]:
                slot = last
                while slot > 0 and value > values[slot - 1]:
                    values[slot], weights[slot] = values[slot - 1], weights[slot - 1]
                    slot -= 1
                values[slot], weights[slot] = value, gate_weights[j, u]
        total += weights[0]
        for slot in range(1, last + 1):
            if values[slot] >= 0.0:
                total += weights[slot]
    return total / gate_weights.shape[0]


@njit
def select_within_budget(gate_weights, discounts, max_experts, budget, selected):
    """Experts under the largest factor up to 1 on the discounts that keeps the budget; tokens that this changed."""
    select_discounted(gate_weights, discounts, 1.0, max_experts, selected)
    if selected_relevance(gate_weights, selected) >= budget - BUDGET_TOLERANCE:
        return 0
    wished = selected.copy()
    # relevance falls as the factor rises: the minimiser of factor * discounts - weights moves away from the weights
    values, weights = np.empty((2, max_experts))
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if discounted_relevance(gate_weights, discounts, middle, values, weights) >= budget - BUDGET_TOLERANCE:
            low = middle
        else:
            high = middle
    select_discounted(gate_weights, discounts, low, max_experts, selected)
    repairs = 0
    for j in range(selected.shape[0]):
        for u in range(selected.shape[1]):
            if selected[j, u] != wished[j, u]:
                repairs += 1
                break
    return repairs


# Further pricings gain less than 0.02 % of the latency in any scenario (tuning episodes).
PRICINGS = 16
# A price of ten whole bands keeps tokens away as surely as an infinite one.
LARGEST_PRICE = 10.0
# Newton's last step: prices are good to a percent, as their derivative is taken before it.
COARSE_STEP = 1e-2
# The largest discount; more than any weight, so that the whole budget is spent.
LARGEST_DISCOUNT = 4.0


def solve_priced(block: Block, relevance: float | None = None, pricings: int = PRICINGS) -> Allocation:
    """The fastest of several pricings' selections, with optimal bandwidths.

    Starts with the gate's choice, its latency and, as loads, the mean of its tokens per device and of equal ones. A
    pricing is the geometric mean of the last one and of the marginal prices at the present latency and loads. The
    experts under these prices within the budget are improved by `solve_greedy`'s changes. The latency after these
    changes is the next guess, and loads move half way to the tokens before them.

    Args:
        relevance: least mean relevance; None takes the block's `relevance_budget`.
        pricings: how many.

    Raises:
        ValueError: for a relevance that no selection reaches, or no pricing.
    """
    if pricings < 1:
        raise ValueError(f"pricings = {pricings}: valid are whole numbers from 1")
    relevance, limit = checked_relevance(block, relevance), block.config.max_experts
    selected, bandwidth = np.zeros(block.gate_weights.shape, np.bool_), np.zeros(block.config.num_devices)
    solve_priced_block(block.gate_weights, *block.links, limit, relevance, pricings, selected, bandwidth)
    return Allocation(selected, bandwidth)


@serial_or_parallel(entries_per_round=16)
def solve_priced_batch(
    gate_weights, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, max_experts, budget, pricings,
    selected, bandwidth, latency,
):  # fmt: skip
    """`solve_priced_block` of a batch: (B, J, U) gate weights, (B, U) links, (B,) budget.

    Writes `selected` (B, J, U) bool, `bandwidth` (B, U) [Hz] and `latency` (B,) [s]. Arrays are trusted, not checked.
    """
    for row in prange(latency.shape[0]):
        latency[row] = solve_priced_block(
            gate_weights[row], downlink_cn0[row], uplink_cn0[row], computation_time[row], payload, total_bandwidth,
            max_experts, budget[row], pricings, selected[row], bandwidth[row],
        )  # fmt: skip


@njit
def solve_priced_block(
    gate_weights, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, max_experts, budget, pricings,
    selected, bandwidth,
):  # fmt: skip
    """`solve_priced` into `selected` (J, U) bool and `bandwidth` (U,) [Hz]; return the block latency [s]."""
    count, devices = gate_weights.shape
    trial = np.zeros((count, devices), np.bool_)
    prices, shares, tokens, load = np.zeros((4, devices))
    latency = begin_pricing(
        gate_weights, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, max_experts,
        trial, tokens, load, shares,
    )  # fmt: skip
    best = np.inf
    for step in range(pricings):
        price_devices(
            step, latency, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, tokens, load, prices,
            prices,
        )  # fmt: skip
        select_at_prices(prices, gate_weights, max_experts, budget, shares, trial, tokens)
        latency = solve_greedy_block(
            gate_weights, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, budget, trial, shares
        )
        if latency < best:
            best = latency
            selected[:] = trial
            bandwidth[:] = shares
    return best


@njit
def begin_pricing(
    gate_weights, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, max_experts,
    trial, tokens, load, shares,
):  # fmt: skip
    """The gate's choice `trial` (J, U), its tokens and bandwidth shares (U,), equal loads (U,); return its latency."""
    count, devices = gate_weights.shape
    top_k_block(gate_weights, max_experts, trial)
    for j in range(count):
        for u in range(devices):
            tokens[u] += trial[j, u]
    load[:] = tokens.sum() / devices
    return allocate_bandwidth_block(
        tokens, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, shares
    )


@njit
def price_devices(
    step, latency, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth, tokens, load, last, prices
):
    """Move loads (U,) half way to the tokens, write log prices (U,): half way from the last ones but at step 0."""
    for u in range(load.shape[0]):
        load[u] = 0.5 * (load[u] + tokens[u])
        down, up, computation = downlink_cn0[u], uplink_cn0[u], computation_time[u]
        price = np.log(marginal_price(latency, max(load[u], 0.5), down, up, computation, payload, total_bandwidth))
        prices[u] = 0.5 * (last[u] + price) if step > 0 else price


@njit
def marginal_price(latency, load, downlink_cn0, uplink_cn0, computation_time, payload, total_bandwidth):
    """Derivative by the load of the bandwidth with which a device serves `load` tokens in `latency` [s], in bands."""
    scale = payload * LN2
    target = (latency / load - computation_time) / scale - 1.0 / downlink_cn0 - 1.0 / uplink_cn0
    if target <= 0.0:
        return LARGEST_PRICE
    x, derivative = inverse_bandwidth(target, downlink_cn0, uplink_cn0, 0.0, COARSE_STEP)
    return min(latency / (load * load * scale * derivative * x * x * total_bandwidth), LARGEST_PRICE)


@njit
def select_at_prices(prices, gate_weights, max_experts, budget, discounts, selected, tokens):
    """Write the experts (J, U) at log prices (U,) within the budget and their tokens (U,); `discounts` is scratch."""
    largest = prices.max()
    for u in range(prices.shape[0]):
        discounts[u] = LARGEST_DISCOUNT * np.exp(prices[u] - largest)
    select_within_budget(gate_weights, discounts, max_experts, budget, selected)
    for u in range(prices.shape[0]):
        tokens[u] = 0.0
    for j in range(selected.shape[0]):
        for u in range(prices.shape[0]):
            tokens[u] += selected[j, u]

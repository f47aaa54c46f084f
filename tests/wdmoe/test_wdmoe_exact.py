"""The exact optimum against enumeration; nobody beats it; the lower bound stays under it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings

from dmoe_gym.wdmoe import (
    Allocation,
    Block,
    allocate_bandwidth,
    allocate_bandwidth_batch,
    check,
    draw_block,
    latency,
    lower_bound,
    mean_relevance,
    scenario,
    select_experts,
    solve_exact,
    solve_greedy,
    solve_joint,
    top_k,
)
from dmoe_gym.wdmoe.solvers.exact import bandwidth_increments
from tests.wdmoe.blocks import TINY, tiny_blocks

# the experts that may serve one of TINY's tokens: one or two of three
ROWS = [row for row in product([False, True], repeat=3) if 1 <= sum(row) <= 2]
SELECTIONS = np.array(list(product(ROWS, repeat=TINY.num_tokens)))


def least_latency_by_enumeration(block, relevance, every=SELECTIONS):
    """The best of all selections that reach the relevance, each at its optimal bandwidths [s]."""
    reached = (every * block.gate_weights).sum(axis=(1, 2)) / block.config.num_tokens
    selections = every[reached >= relevance - 1e-9]
    tokens = selections.sum(axis=1).astype(float)
    rows = (np.tile(v, (len(tokens), 1)) for v in (block.downlink_cn0, block.uplink_cn0, block.computation_time))
    bandwidth, total = np.empty(tokens.shape), np.empty(len(tokens))
    allocate_bandwidth_batch(tokens, *rows, block.config.payload_bit, block.config.bandwidth_hz, bandwidth, total)
    return total.min()


@settings(max_examples=40)
@given(block=tiny_blocks())
def test_exact_equals_enumeration_and_bound_is_lower(block):
    exact = solve_exact(block)
    assert check(block, exact) == []
    least = latency(block, exact).total
    assert least == pytest.approx(least_latency_by_enumeration(block, block.relevance_budget), rel=1e-8)
    bound = lower_bound(block)
    assert 0 < bound <= least * (1 + 1e-12)


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("tied", ["weights", "gains", "both", ""])
def test_bounds_hold_for_ties_and_any_number_of_experts(limit, tied):
    """D = 1 to D = U; where all weights or all devices are alike there is more than one optimum."""
    config = TINY.replace(max_experts=limit, relevance_share=0.7, device_speed_range_flops=(5e12, 5e12))
    rows = [row for row in product([False, True], repeat=3) if 1 <= sum(row) <= limit]
    every = np.array(list(product(rows, repeat=config.num_tokens)))
    drawn = draw_block(config, np.random.default_rng(7))
    weights = np.full((4, 3), 1 / 3) if tied in ("weights", "both") else drawn.gate_weights
    gains = np.full((2, 3), 1e-10) if tied in ("gains", "both") else (drawn.downlink_gains, drawn.uplink_gains)
    block = Block(weights, *gains, config)
    exact = solve_exact(block)
    assert check(block, exact) == []
    least = least_latency_by_enumeration(block, block.relevance_budget, every)
    assert latency(block, exact).total == pytest.approx(least, rel=1e-8)
    assert 0 < lower_bound(block) <= least * (1 + 1e-12)


@pytest.mark.parametrize("devices", [1, 2, 3])
def test_one_token_on_one_device_leaves_no_gap(devices):
    """The program has no fractions to gain by; at the optimum it asks for just the band, which proves nothing yet."""
    config = TINY.replace(
        num_devices=devices,
        num_tokens=1,
        max_experts=1,
        distance_range_m=(20.0, 20.0),
        activation_flops=1e9,
        device_speeds_flops=(2e12, 1e24, 1.0)[:devices],
        device_speed_range_flops=(1e12, 1e12),
    )
    every = np.eye(devices, dtype=bool)[:, None]
    for seed in range(20):
        block = draw_block(config, np.random.default_rng(seed))
        for share in (1e-9, 1.0):  # between, a fraction of a dear expert may make up for a cheap one's relevance
            relevance = share * block.gate_weights.max()
            least = least_latency_by_enumeration(block, relevance, every)
            assert least * (1 - 2e-6) <= lower_bound(block, relevance) <= least * (1 + 1e-12)


@settings(max_examples=20)
@given(block=tiny_blocks())
def test_nobody_beats_the_exact_optimum_at_equal_relevance(block):
    """Every policy, whatever relevance it spends, against the optimum and the bound of that relevance."""
    generator = np.random.default_rng(0)
    devices = block.config.num_devices
    equal = np.full(devices, block.config.bandwidth_hz / devices)
    selections = {
        "top-2": top_k(block),
        "top-1": top_k(block, 1),
        "above": select_experts(block, direction="above"),
        "below": select_experts(block, direction="below", theta=0.8),
        "random": SELECTIONS[generator.integers(len(SELECTIONS))],
    }
    allocations = [Allocation(selected, allocate_bandwidth(block, selected)) for selected in selections.values()]
    allocations += [Allocation(selections["top-2"], equal), solve_joint(block), solve_greedy(block)]
    for allocation in allocations:
        relevance = mean_relevance(block, allocation.selected)
        total = latency(block, allocation).total
        assert latency(block, solve_exact(block, relevance)).total <= total * (1 + 1e-9)
        assert lower_bound(block, relevance) <= total * (1 + 1e-12)


@pytest.mark.parametrize("name", ["testbed", "mixtral"])
def test_whole_scenarios_between_bound_and_policies(name):
    for seed in range(2):
        block = draw_block(scenario(name), np.random.default_rng(seed))
        exact = solve_exact(block)
        assert check(block, exact) == []
        least = latency(block, exact).total
        assert lower_bound(block) <= least
        for policy in (solve_joint, solve_greedy):
            assert least <= latency(block, policy(block)).total * (1 + 1e-9)


def test_the_bound_is_tight_on_a_large_block():
    """The relaxation loses little where many tokens make it smooth: greedy proves it, being at least the optimum."""
    block = draw_block(scenario("crowd"), np.random.default_rng(0))
    greedy = latency(block, solve_greedy(block)).total
    assert 0.99 * greedy < lower_bound(block) <= greedy


def test_all_the_relevance_leaves_one_selection():
    block = draw_block(TINY.replace(relevance_share=1.0), np.random.default_rng(4))
    exact = solve_exact(block)
    assert (exact.selected == top_k(block)).all()
    assert lower_bound(block) == pytest.approx(latency(block, exact).total, rel=1e-5)


def test_less_relevance_is_never_slower():
    block = draw_block(scenario("testbed"), np.random.default_rng(8))
    best = mean_relevance(block, top_k(block))
    for solve in (lambda r: latency(block, solve_exact(block, r)).total, lambda r: lower_bound(block, r)):
        values = [solve(share * best) for share in (0.5, 0.7, 0.9, 1.0)]
        assert (np.diff(values) >= -1e-9 * values[0]).all()


@settings(max_examples=40)
@given(block=tiny_blocks())
def test_increments_grow(block):
    """The need for bandwidth is convex in the tokens: what makes the program's whole-numbered solutions exact."""
    time = latency(block, Allocation(top_k(block), allocate_bandwidth(block, top_k(block)))).total
    increments = bandwidth_increments(block, time)
    assert (increments > 0).all()
    assert (np.diff(increments, axis=1) >= -1e-9 * increments[:, :-1]).all()


def test_bad_arguments_are_named():
    block = draw_block(TINY, np.random.default_rng(0))
    for solve in (solve_exact, solve_greedy, lower_bound):
        with pytest.raises(ValueError, match=r"relevance = 1\.5: valid are 0 to 0"):
            solve(block, 1.5)
    with pytest.raises(ValueError, match="time_limit_s = 0"):
        solve_exact(block, time_limit_s=0)
    with pytest.raises(TimeoutError, match="1e-06 s"):
        solve_exact(draw_block(scenario("mixtral"), np.random.default_rng(0)), time_limit_s=1e-6)

"""The gate's choice, the WLR policy, the greedy rule, and selection and bandwidth by turns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoe_gym.wdmoe import (
    Allocation,
    Block,
    WDMoEConfig,
    allocate_bandwidth,
    check,
    draw_block,
    latency,
    mean_relevance,
    scenario,
    select_experts,
    select_experts_batch,
    solve_greedy,
    solve_greedy_batch,
    solve_joint,
    token_times,
    top_k,
    weight_to_latency_ratio,
)

SEEDS = st.integers(0, 2**32 - 1)
DIRECTIONS = st.sampled_from(["above", "below"])
NAMES = st.sampled_from(["testbed", "mixtral"])


def block_with(weights, gains=None, **overrides):
    tokens, devices = np.shape(weights)
    config = WDMoEConfig(num_devices=devices, num_tokens=tokens, **overrides)
    gains = np.full(devices, 1e-9) if gains is None else gains
    return Block(weights, gains, gains, config)


def similarity_by_hand(block, bandwidth):
    times = token_times(block, bandwidth)
    return block.gate_weights @ times / np.linalg.norm(block.gate_weights, axis=1) / np.linalg.norm(times)


def test_top_k_takes_the_largest_and_the_lower_index_on_a_tie():
    block = block_with([[0.2, 0.5, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25]])
    assert top_k(block).astype(int).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]
    assert top_k(block, 1).astype(int).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]
    assert top_k(block, 4).all()
    with pytest.raises(ValueError, match="k = 5: valid are 1 to 4"):
        top_k(block, 5)


@given(seed=SEEDS, name=NAMES, direction=DIRECTIONS, theta=st.floats(0, 1))
def test_a_fixed_theta_drops_the_weakest_of_exactly_the_tokens_that_fail(seed, name, direction, theta):
    block = draw_block(scenario(name), np.random.default_rng(seed))
    bandwidth = np.random.default_rng(seed).uniform(1e6, 1e7, block.config.num_devices)
    similarity = similarity_by_hand(block, bandwidth)
    if (np.abs(similarity - theta) < 1e-9).any():
        return
    fails = similarity > theta if direction == "above" else similarity < theta
    expected = np.where(fails[:, None], top_k(block, 1), top_k(block))
    assert (select_experts(block, bandwidth, direction=direction, theta=theta) == expected).all()


@given(seed=SEEDS, name=NAMES, direction=DIRECTIONS, share=st.floats(0.3, 1.0))
def test_the_search_improves_the_ratio_within_the_budget(seed, name, direction, share):
    block = draw_block(scenario(name).replace(relevance_share=share), np.random.default_rng(seed))
    devices = block.config.num_devices
    equal = np.full(devices, block.config.bandwidth_hz / devices)
    chosen = Allocation(select_experts(block, direction=direction), equal)
    gate = Allocation(top_k(block), equal)
    assert check(block, chosen) == []
    assert (chosen.selected <= gate.selected).all()
    assert weight_to_latency_ratio(block, chosen) >= weight_to_latency_ratio(block, gate) * (1 - 1e-12)


@given(seed=SEEDS, name=NAMES, direction=DIRECTIONS, step=st.sampled_from([0.05, 0.1, 0.25]))
def test_the_search_is_the_one_written_down(seed, name, direction, step):
    """theta step by step through the public functions, stopped by hand."""
    block = draw_block(scenario(name), np.random.default_rng(seed))
    devices = block.config.num_devices
    equal = np.full(devices, block.config.bandwidth_hz / devices)
    best = top_k(block)
    for index in range(1, int(np.ceil(1 / step)) + 1):
        theta = 1 - index * step if direction == "above" else index * step
        selected = select_experts(block, equal, direction=direction, theta=theta)
        if (selected == best).all():
            continue
        better = weight_to_latency_ratio(block, Allocation(selected, equal)) > weight_to_latency_ratio(
            block, Allocation(best, equal)
        )
        if not better or mean_relevance(block, selected) < block.relevance_budget:
            break
        best = selected
    assert (select_experts(block, equal, direction=direction, step=step) == best).all()


def test_the_two_directions_drop_different_tokens():
    """The slow device is the last; its fans look along the latencies, the fast device's fans across."""
    weights = [[0.9, 0.1, 0.0], [0.0, 0.1, 0.9]]
    block = block_with(weights, gains=np.array([1e-8, 1e-9, 1e-12]))
    equal = np.full(3, 1e8 / 3)
    low, high = similarity_by_hand(block, equal)
    assert low < 0.5 < high
    above = select_experts(block, direction="above", theta=0.5)
    below = select_experts(block, direction="below", theta=0.5)
    assert above.sum(axis=1).tolist() == [2, 1]
    assert below.sum(axis=1).tolist() == [1, 2]


@given(seed=SEEDS)
def test_raw_weights_would_never_let_the_search_drop_an_expert(seed):
    """Why the ratio renormalises: at fixed bandwidths the raw sum only has positive terms."""
    block = draw_block(scenario("testbed"), np.random.default_rng(seed))
    bandwidth = np.full(4, 25e6)
    ratio = block.gate_weights / token_times(block, bandwidth)
    for direction in ("above", "below"):
        for theta in np.linspace(0, 1, 11):
            dropped = select_experts(block, bandwidth, direction=direction, theta=theta)
            assert ratio[dropped].sum() <= ratio[top_k(block)].sum()


def test_one_expert_per_token_is_never_taken_away():
    block = draw_block(scenario("testbed").replace(max_experts=1), np.random.default_rng(0))
    assert (select_experts(block, theta=1.0) == top_k(block)).all()
    assert (select_experts(block) == top_k(block)).all()


def test_devices_without_bandwidth_take_no_part():
    block = draw_block(scenario("testbed"), np.random.default_rng(0))
    bandwidth = np.array([5e7, 5e7, 0.0, 0.0])
    similarity = []
    times = token_times(block, bandwidth)[:2]
    weights = block.gate_weights[:, :2]
    similarity = weights @ times / np.linalg.norm(weights, axis=1) / np.linalg.norm(times)
    theta = np.sort(similarity)[[7, 8]].mean()
    dropped = select_experts(block, bandwidth, theta=theta).sum(axis=1) == 1
    assert (dropped == (similarity < theta)).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"direction": "sideways"}, "direction = 'sideways': valid are above, below"),
        ({"step": 0.0}, "step = 0.0"),
        ({"step": 1.5}, "step = 1.5"),
        ({"theta": np.nan}, "theta = nan"),
        ({"bandwidth": np.ones(3)}, r"bandwidth: has shape \(3,\)"),
        ({"bandwidth": -np.ones(4)}, r"bandwidth\[0\] = -1.0"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        select_experts(draw_block(scenario("testbed"), np.random.default_rng(0)), **arguments)


@given(seed=SEEDS, name=NAMES, direction=DIRECTIONS, share=st.floats(0.3, 1.0))
def test_joint_is_valid_and_never_slower_than_the_gates_choice(seed, name, direction, share):
    block = draw_block(scenario(name).replace(relevance_share=share), np.random.default_rng(seed))
    joint = solve_joint(block, direction=direction)
    assert check(block, joint) == []
    gate = Allocation(top_k(block), allocate_bandwidth(block, top_k(block)))
    assert latency(block, joint).total <= latency(block, gate).total


@given(seed=SEEDS, name=NAMES, share=st.floats(0.3, 1.0))
def test_greedy_is_valid_and_never_slower_than_the_gates_choice(seed, name, share):
    block = draw_block(scenario(name).replace(relevance_share=share), np.random.default_rng(seed))
    greedy = solve_greedy(block)
    assert check(block, greedy) == []
    gate = Allocation(top_k(block), allocate_bandwidth(block, top_k(block)))
    assert latency(block, greedy).total <= latency(block, gate).total * (1 + 1e-12)


def test_greedy_takes_the_best_ratio_first():
    """Equal devices, one of them loaded: of its two tokens the one that loses less relevance leaves it."""
    weights = np.array([[0.6, 0.4, 0.0], [0.55, 0.0, 0.45], [0.6, 0.0, 0.4]])
    block = block_with(weights, device_speed_range_flops=(5e12, 5e12), max_experts=1, relevance_share=0.9)
    # budget 0.525 of 0.5833: 0.175 may be lost in all; token 1 costs 0.10, either other token 0.20
    assert solve_greedy(block).selected.argmax(axis=1).tolist() == [0, 2, 0]


def test_batches_are_their_rows_bit_for_bit():
    generator = np.random.default_rng(5)
    config = scenario("mixtral")
    blocks = [draw_block(config, generator) for _ in range(17)]
    weights, down, up, computation = (
        np.array([getattr(block, name) for block in blocks])
        for name in ("gate_weights", "downlink_cn0", "uplink_cn0", "computation_time")
    )
    budget = np.array([block.relevance_budget for block in blocks])
    equal = np.full(8, config.bandwidth_hz / 8)
    times = np.array([token_times(block, equal) for block in blocks])
    selected = np.empty(weights.shape, bool)
    for above in (True, False):
        select_experts_batch(weights, times, 2, above, 0.02, budget, selected)
        for row, block in enumerate(blocks):
            single = select_experts(block, direction="above" if above else "below")
            assert (single == selected[row]).all()
    selected[:] = [top_k(block) for block in blocks]
    bandwidth, total = np.empty((17, 8)), np.empty(17)
    solve_greedy_batch(
        weights, down, up, computation, config.payload_bit, config.bandwidth_hz, budget, selected, bandwidth, total
    )
    for row, block in enumerate(blocks):
        single = solve_greedy(block)
        assert (single.selected == selected[row]).all()
        assert (single.bandwidth == bandwidth[row]).all()
        assert total[row] == pytest.approx(latency(block, single).total, rel=1e-14)

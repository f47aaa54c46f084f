"""Blocks, allocations, path loss and latency, against closed forms and conservation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmoe_gym.channel.large_scale import path_gain, path_loss_db
from dmoe_gym.wdmoe import (
    Allocation,
    Block,
    WDMoEConfig,
    draw_block,
    latency,
    mean_relevance,
    scenario,
    token_times,
    top_k,
    weight_to_latency_ratio,
)
from dmoe_gym.wdmoe.physics.latency import cost, latency_batch, reference_latency, shortfall, token_unit
from dmoe_gym.wdmoe.system import BOUNDS
from tests.wdmoe.blocks import TINY, spread_block


def block_of(gains, config):
    weights = np.full((config.num_tokens, config.num_devices), 1 / config.num_devices)
    return Block(weights, gains, gains, config)


def test_path_loss_is_free_space():
    wavelength = 299_792_458 / 3.5e9
    assert path_loss_db(100.0, 3.5e9) == pytest.approx(20 * np.log10(4 * np.pi * 100 / wavelength), abs=0.1)
    np.testing.assert_allclose(np.diff(path_loss_db([1.0, 10.0, 100.0], 3.5e9)), 20.0)
    np.testing.assert_allclose(path_gain(50.0, 1e9), 10 ** (-path_loss_db(50.0, 1e9) / 10))


@pytest.mark.parametrize(("distance", "carrier"), [(0.0, 1e9), (-1.0, 1e9), (np.nan, 1e9), (1.0, 0.0), (1.0, np.inf)])
def test_path_loss_refuses_what_is_not_positive(distance, carrier):
    with pytest.raises(ValueError, match="valid are positive"):
        path_loss_db(distance, carrier)


@pytest.mark.parametrize("field", ["downlink_gains", "uplink_gains"])
@pytest.mark.parametrize("gain", [0.0, -1e-9, np.nan, np.inf, 1e-200])
def test_a_zero_or_senseless_gain_is_named(field, gain):
    arrays = {"downlink_gains": np.full(3, 1e-9), "uplink_gains": np.full(3, 1e-9)}
    arrays[field][1] = gain
    with pytest.raises(ValueError, match=rf"{field}\[1\] = "):
        Block(np.full((4, 3), 1 / 3), **arrays, config=TINY)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.full((4, 3), 0.5), r"gate_weights\[0\] sum to 1.5"),
        (np.full((3, 4), 0.25), r"gate_weights: has shape \(3, 4\), valid is \(4, 3\)"),
        (np.array([[2.0, -1.0, 0.0]] * 4), r"gate_weights\[0, 1\] = -1.0"),
    ],
)
def test_bad_gate_weights_are_named(weights, words):
    with pytest.raises(ValueError, match=words):
        Block(weights, np.ones(3), np.ones(3), TINY)


def test_devices_have_a_speed():
    block = Block(np.full((4, 3), 1 / 3), [1e-9] * 3, [1e-9] * 3, TINY, device_speeds=[1.0, 2.0, 4.0])
    np.testing.assert_allclose(block.computation_time, TINY.token_flops / np.array([1.0, 2.0, 4.0]))
    with pytest.raises(ValueError, match=r"device_speeds\[1\] = 0.9"):
        Block(np.full((4, 3), 1 / 3), [1e-9] * 3, [1e-9] * 3, TINY, device_speeds=[1.0, 0.9, 4.0])


def test_blocks_and_allocations_are_read_only_copies():
    gains = np.full(3, 1e-9)
    block = block_of(gains, TINY)
    gains[0] = 1.0
    assert block.downlink_gains[0] == 1e-9
    allocation = Allocation(np.ones((4, 3)), np.ones(3))
    for array in (block.gate_weights, block.uplink_cn0, block.device_speeds, allocation.selected, allocation.bandwidth):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError):
        block.config = TINY


@pytest.mark.parametrize(
    ("selected", "bandwidth", "words"),
    [
        (np.ones(3), np.ones(3), "selected: has shape"),
        (np.full((4, 3), 2), np.ones(3), "selected: holds entries"),
        (np.ones((4, 3)), np.ones(4), "bandwidth: has shape"),
        (np.ones((4, 3)), np.array([1.0, -1.0, 1.0]), r"bandwidth\[1\] = -1.0"),
    ],
)
def test_bad_allocations_are_named(selected, bandwidth, words):
    with pytest.raises(ValueError, match=words):
        Allocation(selected, bandwidth)


def test_an_allocation_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"allocation.selected: has shape \(5, 3\), valid for this block is \(4, 3\)"):
        latency(block_of(np.full(3, 1e-9), TINY), Allocation(np.ones((5, 3)), np.ones(3)))


def test_latency_by_hand():
    """SNR 3 in the downlink and 1 in the uplink: 2 and 1 bit/s/Hz; 1 ms of computation."""
    config = WDMoEConfig(num_devices=2, num_tokens=3, max_experts=1, device_power_w=1.0, base_station_power_w=3.0)
    bandwidth = 65536.0 / 1e-3
    gain = bandwidth * config.noise_density
    speeds = np.full(2, config.token_flops * 1e3)
    block = Block(np.full((3, 2), 0.5), np.full(2, gain), np.full(2, gain), config, speeds)
    selected = [[True, False], [True, False], [False, True]]
    result = latency(block, Allocation(selected, [bandwidth, bandwidth]))
    # per token 0.5 ms + 1 ms + 1 ms; two tokens on the first device, one on the second
    np.testing.assert_allclose(result.device_times, [5e-3, 2.5e-3])
    assert result.total == pytest.approx(5e-3)
    assert result.downlink == pytest.approx(0.75e-3)
    assert result.uplink == pytest.approx(1.5e-3)
    assert result.computation == pytest.approx(1.5e-3)
    assert result.waiting == pytest.approx(1.25e-3)


@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(["testbed", "mixtral"]))
def test_parts_add_up_to_the_total(seed, name):
    generator = np.random.default_rng(seed)
    block = draw_block(scenario(name), generator)
    selected = generator.random(block.gate_weights.shape) < 0.3
    result = latency(block, Allocation(selected, generator.uniform(1e5, 1e7, block.config.num_devices)))
    parts = result.downlink + result.uplink + result.computation + result.waiting
    assert parts == pytest.approx(result.total, rel=1e-12)
    np.testing.assert_allclose(
        result.device_downlink + result.device_uplink + result.device_computation, result.device_times, rtol=1e-12
    )
    assert result.total == result.device_times.max()
    assert (result.device_times[~selected.any(axis=0)] == 0).all()


def test_an_idle_device_is_in_no_mean():
    """Parts are means over the devices that serve tokens: what the others have of bandwidth or speed is no part."""
    block = draw_block(TINY, np.random.default_rng(2))
    selected = np.zeros((4, 3), bool)
    selected[:3, 0] = selected[3, 2] = True
    parts = latency(block, Allocation(selected, [4e7, 3e7, 3e7]))
    serving = [0, 2]
    assert parts.device_times[1] == 0.0
    for name in ("downlink", "uplink", "computation"):
        assert getattr(parts, name) == pytest.approx(getattr(parts, f"device_{name}")[serving].mean(), rel=1e-12)
    assert parts.waiting == pytest.approx((parts.total - parts.device_times[serving]).mean(), rel=1e-12)


def test_a_device_without_bandwidth_takes_for_ever_if_it_has_tokens():
    block = block_of(np.full(3, 1e-9), TINY)
    selected = np.zeros((4, 3), bool)
    selected[:, 0] = True
    assert np.isfinite(latency(block, Allocation(selected, [1e6, 0, 0])).total)
    result = latency(block, Allocation(selected, [0, 1e6, 0]))
    assert result.total == np.inf
    assert not any(np.isnan(value).any() for value in vars(result).values())
    nobody = latency(block, Allocation(np.zeros((4, 3)), np.ones(3)))
    assert not any(np.any(value) for value in vars(nobody).values())


@pytest.mark.parametrize("bandwidth", [1e-300, 1e-9, 1.0, 1e6, 1e12, 1e25])
def test_times_per_token_at_any_bandwidth(bandwidth):
    """Against 60 digits; up to the limit of unlimited bandwidth, payload ln2 N0 / (P g)."""
    mpmath = pytest.importorskip("mpmath")
    block = spread_block(4, 120, np.random.default_rng(0))
    times = token_times(block, np.full(4, bandwidth)) - block.computation_time
    with mpmath.workdps(60):
        width = mpmath.mpf(bandwidth)
        for k in range(4):
            exact = sum(
                65536 * mpmath.log(2) / (width * mpmath.log1p(mpmath.mpf(float(cn0[k])) / width))
                for cn0 in (block.downlink_cn0, block.uplink_cn0)
            )
            assert times[k] == pytest.approx(float(exact), rel=1e-9)
            floor = 65536 * np.log(2) * (1 / block.downlink_cn0[k] + 1 / block.uplink_cn0[k])
            assert times[k] >= floor * (1 - 1e-9)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_batch_equals_single_blocks(seed):
    generator = np.random.default_rng(seed)
    blocks = [draw_block(scenario("testbed"), generator) for _ in range(5)]
    selected = generator.random((5, 16, 4)) < 0.4
    bandwidth = generator.uniform(1e5, 5e7, (5, 4))
    total = np.empty(5)
    latency_batch(
        selected.sum(axis=1),
        bandwidth,
        np.array([block.downlink_cn0 for block in blocks]),
        np.array([block.uplink_cn0 for block in blocks]),
        np.array([block.computation_time for block in blocks]),
        blocks[0].config.payload_bit,
        total,
    )
    single = [latency(block, Allocation(selected[i], bandwidth[i])).total for i, block in enumerate(blocks)]
    np.testing.assert_allclose(total, single, rtol=1e-14)


def test_weight_to_latency_ratio_by_hand():
    config = TINY.replace(num_tokens=2)
    weights = np.array([[0.6, 0.2, 0.2], [0.1, 0.8, 0.1]])
    block = Block(weights, np.full(3, 1e-9), np.full(3, 1e-9), config)
    bandwidth = np.full(3, 1e7)
    t = token_times(block, bandwidth)
    allocation = Allocation([[True, True, False], [False, True, False]], bandwidth)
    expected = 0.75 / t[0] + 0.25 / t[1] + 1.0 / t[1]
    assert weight_to_latency_ratio(block, allocation) == pytest.approx(expected, rel=1e-12)
    assert mean_relevance(block, allocation.selected) == pytest.approx((0.8 + 0.8) / 2)


def test_relevance_budget_is_a_share_of_the_best_experts():
    block = draw_block(scenario("mixtral").replace(relevance_share=0.75), np.random.default_rng(0))
    assert block.relevance_budget == pytest.approx(0.75 * mean_relevance(block, top_k(block)))


def test_draws_are_reproducible_and_follow_the_configuration():
    first, again = (draw_block(scenario("crowd"), np.random.default_rng(3)) for _ in range(2))
    assert (first.gate_weights == again.gate_weights).all()
    assert (first.uplink_gains == again.uplink_gains).all()
    gains = [draw_block(scenario("crowd"), np.random.default_rng(seed)).downlink_gains for seed in range(200)]
    # mean gain of a ring: path gain at 1 m times the mean of d^-2 over the ring, 2 ln(R/r) / (R^2 - r^2)
    mean = path_gain(1.0, 3.5e9) * 2 * np.log(10) / (200**2 - 20**2)
    spread = np.std(gains) / np.sqrt(np.size(gains))
    assert abs(np.mean(gains) - mean) < 5 * spread


def test_the_reference_is_a_device_at_the_median_distance():
    """By hand from docs/wdmoe.md: J D / U tokens there, an equal share of the band, the mean of computation times."""
    config = scenario("testbed").replace(distance_range_m=(10.0, 70.0))
    draws = np.random.default_rng(0).uniform(10.0**2, 70.0**2, 100_000) ** 0.5
    assert (draws < 50.0).mean() == pytest.approx(0.5, abs=0.01)
    gain = 10 ** (-(32.4 + 20 * np.log10(config.carrier_hz / 1e9) + 20 * np.log10(50.0)) / 10)
    share = config.bandwidth_hz / config.num_devices
    noise = share * 10 ** (config.noise_dbm_per_hz / 10) / 1000
    rates = [
        share * np.log2(1 + power * gain / noise) for power in (config.base_station_power_w, config.device_power_w)
    ]
    bits = config.bits_per_value * config.hidden_size
    work = 6 * config.hidden_size * config.expert_hidden_size
    work += (config.activation_flops + 1) * config.expert_hidden_size
    time = bits / rates[0] + bits / rates[1] + np.mean(work / config.device_speeds)
    tokens = config.num_tokens * config.max_experts / config.num_devices
    assert reference_latency(config) == pytest.approx(time * tokens, rel=1e-12)
    assert token_unit(config) == pytest.approx(time, rel=1e-12)


def test_cost_is_relative_latency_and_priced_shortfall():
    config = TINY.replace(relevance_share=0.9, shortfall_price=7.0)
    block = draw_block(config, np.random.default_rng(5))
    bandwidth = np.full(3, config.bandwidth_hz / 3)
    best, one = (Allocation(top_k(block, count), bandwidth) for count in (2, 1))
    assert shortfall(block, best) == 0.0
    assert cost(block, best) == pytest.approx(latency(block, best).total / reference_latency(config), rel=1e-12)
    missing = 0.9 * mean_relevance(block, best.selected) - mean_relevance(block, one.selected)
    assert missing > 0.05
    assert shortfall(block, one) == pytest.approx(missing, rel=1e-12)
    assert cost(block, one) == pytest.approx(
        latency(block, one).total / reference_latency(config) + 7.0 * missing, rel=1e-12
    )


def test_bounds_are_told_in_the_terms_of_the_environment():
    block = draw_block(TINY, np.random.default_rng(6))
    exact, bound = BOUNDS["exact"].function(block), BOUNDS["lower-bound"].function(block)
    reference = reference_latency(TINY)
    assert exact["cost"] == pytest.approx(exact["latency_s"] / reference + 100.0 * exact["shortfall"], rel=1e-12)
    parts = sum(exact[f"latency_{part}_s"] for part in ("downlink", "uplink", "computation", "waiting"))
    assert parts == pytest.approx(exact["latency_s"], rel=1e-9)
    assert exact["relevance"] >= block.relevance_budget - 1e-9
    assert bound["cost"] == pytest.approx(bound["latency_s"] / reference, rel=1e-12)
    assert 0 < bound["latency_s"] <= exact["latency_s"]

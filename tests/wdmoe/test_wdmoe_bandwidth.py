"""Optimal bandwidth: SLSQP, the optimality conditions, symmetry, and blocks that are hard on numerics."""

from __future__ import annotations

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmoe_gym.wdmoe import Block, WDMoEConfig, allocate_bandwidth, allocate_bandwidth_batch, scenario, token_times
from dmoe_gym.wdmoe.solvers.bandwidth import _psi
from tests.wdmoe.blocks import spread_block
from tests.wdmoe.slsqp import solve_with_slsqp


def device_times(block, tokens, bandwidth):
    """(U,) times of all devices [s]; 0 without tokens."""
    active = np.asarray(tokens) > 0
    times = np.zeros(len(active))
    times[active] = np.asarray(tokens)[active] * token_times(block, bandwidth)[active]
    return times


def assert_optimal(block, tokens, bandwidth, tolerance=1e-9):
    """All devices with tokens finish together and the whole band is used: no other allocation can be as fast."""
    active = np.asarray(tokens) > 0
    times = device_times(block, tokens, bandwidth)[active]
    assert times.max() <= times.min() * (1 + tolerance)
    assert bandwidth.sum() == pytest.approx(block.config.bandwidth_hz, rel=1e-12)
    assert (bandwidth[~active] == 0).all()
    assert (bandwidth[active] > 0).all()


@pytest.mark.parametrize("spread_db", [0, 20, 60, 80])
@pytest.mark.parametrize("devices", [2, 4, 8, 16])
def test_equals_slsqp_and_is_never_worse(devices, spread_db):
    generator = np.random.default_rng([devices, spread_db])
    converged = 0
    for _ in range(10):
        block = spread_block(devices, spread_db, generator)
        tokens = generator.integers(0, 9, devices)
        tokens[generator.integers(devices)] = 3
        ours = device_times(block, tokens, allocate_bandwidth(block, tokens)).max()
        bandwidth, success = solve_with_slsqp(block, tokens)
        theirs = device_times(block, tokens, bandwidth).max()
        assert ours <= theirs * (1 + 1e-9)
        if success:
            converged += 1
            assert ours == pytest.approx(theirs, rel=1e-6)
    assert converged >= 8  # or the comparison says nothing


@given(
    seed=st.integers(0, 2**32 - 1),
    devices=st.integers(1, 12),
    spread_db=st.sampled_from([0, 60, 120, 300]),
    level_db=st.sampled_from([-120, 0, 120]),
)
def test_optimality_conditions(seed, devices, spread_db, level_db):
    generator = np.random.default_rng(seed)
    block = spread_block(devices, spread_db, generator)
    shift = 10 ** (level_db / 10)
    block = Block(block.gate_weights, block.downlink_gains * shift, block.uplink_gains * shift, block.config)
    tokens = generator.integers(0, 2 ** generator.integers(1, 12), devices)
    tokens[generator.integers(devices)] += 1
    assert_optimal(block, tokens, allocate_bandwidth(block, tokens))


@given(seed=st.integers(0, 2**32 - 1))
def test_no_random_allocation_is_faster(seed):
    generator = np.random.default_rng(seed)
    block = spread_block(5, 40, generator)
    tokens = generator.integers(1, 9, 5)
    best = device_times(block, tokens, allocate_bandwidth(block, tokens)).max()
    for shares in generator.dirichlet(np.full(5, 0.5), 20):
        # so small a share that it rounds to nothing is no allocation at all
        other = device_times(block, tokens, np.maximum(shares, 1e-300) * block.config.bandwidth_hz)
        assert best <= other.max() * (1 + 1e-12)


def test_one_device_gets_the_whole_band():
    config = WDMoEConfig(num_devices=1, num_tokens=5, max_experts=1)
    block = Block(np.ones((5, 1)), [1e-9], [1e-9], config)
    assert allocate_bandwidth(block, np.ones((5, 1), bool))[0] == pytest.approx(config.bandwidth_hz, rel=1e-15)


def test_all_tokens_on_one_device_and_no_tokens_at_all():
    block = spread_block(4, 60, np.random.default_rng(1))
    selected = np.zeros((8, 4), bool)
    assert (allocate_bandwidth(block, selected) == 0).all()
    selected[:, 2] = True
    np.testing.assert_allclose(allocate_bandwidth(block, selected), [0, 0, block.config.bandwidth_hz, 0], rtol=1e-15)


def test_equal_devices_share_equally():
    config = WDMoEConfig(num_devices=8, device_speed_range_flops=(5e12, 5e12))
    block = Block(np.full((32, 8), 1 / 8), np.full(8, 1e-9), np.full(8, 1e-10), config)
    np.testing.assert_allclose(allocate_bandwidth(block, np.full(8, 3)), config.bandwidth_hz / 8, rtol=1e-12)


def test_a_device_at_its_floor_takes_nearly_the_whole_band():
    """One device so far away that its rate is power-limited: the latency is its floor, the others hardly matter."""
    block = spread_block(3, 0, np.random.default_rng(2))
    gains = np.array([1e-9, 1e-9, 1e-22])
    block = Block(block.gate_weights, gains, gains, block.config)
    tokens = np.array([4, 4, 1])
    bandwidth = allocate_bandwidth(block, tokens)
    assert_optimal(block, tokens, bandwidth)
    floor = 65536 * np.log(2) * (1 / block.downlink_cn0[2] + 1 / block.uplink_cn0[2]) + block.computation_time[2]
    total = device_times(block, tokens, bandwidth).max()
    assert floor < total < floor * (1 + 1e-4)


@pytest.mark.parametrize("spread_db", [60, 200])
def test_bandwidths_themselves_agree_with_high_precision(spread_db):
    """30-digit bisection on the latency and on every bandwidth, written without the solver's substitution."""
    mpmath = pytest.importorskip("mpmath")
    block = spread_block(3, spread_db, np.random.default_rng(7))
    tokens = np.array([5, 1, 2])

    with mpmath.workdps(30):
        cn0 = [[mpmath.mpf(float(v)) for v in values] for values in (block.downlink_cn0, block.uplink_cn0)]
        total = mpmath.mpf(block.config.bandwidth_hz)

        def time(k, width):
            sent = sum(65536 * mpmath.log(2) / (width * mpmath.log1p(values[k] / width)) for values in cn0)
            return int(tokens[k]) * (sent + mpmath.mpf(float(block.computation_time[k])))

        def need(k, latency):
            low, high = mpmath.mpf("1e-40"), total
            for _ in range(60):
                middle = mpmath.sqrt(low * high)
                low, high = (middle, high) if time(k, middle) > latency else (low, middle)
            return high

        low = max(time(k, total) for k in range(3))
        high = max(time(k, total / 3) for k in range(3))
        for _ in range(70):
            middle = (low + high) / 2
            low, high = (middle, high) if sum(need(k, middle) for k in range(3)) > total else (low, middle)
        expected = [float(need(k, high)) for k in range(3)]
    np.testing.assert_allclose(allocate_bandwidth(block, tokens), expected, rtol=1e-9)


@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([1e-6, 1e-2, 7.0, 1e6]))
def test_scaling_of_units(seed, factor):
    """All frequencies and the payload times a factor: the same latency, bandwidths times the factor."""
    generator = np.random.default_rng(seed)
    tokens, cn0 = generator.integers(1, 9, (1, 6)).astype(float), 10 ** generator.uniform(6, 13, (2, 1, 6))
    computation = generator.uniform(1e-5, 1e-3, (1, 6))
    results = []
    for scale in (1.0, factor):
        bandwidth, total = np.empty((1, 6)), np.empty(1)
        allocate_bandwidth_batch(
            tokens, cn0[0] * scale, cn0[1] * scale, computation, 65536 * scale, 1e8 * scale, bandwidth, total
        )
        results.append((bandwidth[0] / scale, total[0]))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-10)
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-12)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_order_of_devices_does_not_matter(seed):
    generator = np.random.default_rng(seed)
    block = spread_block(6, 60, generator)
    tokens, order = generator.integers(0, 5, 6) + 1, generator.permutation(6)
    moved = Block(
        block.gate_weights[:, order],
        block.downlink_gains[order],
        block.uplink_gains[order],
        block.config,
        block.device_speeds[order],
    )
    np.testing.assert_allclose(
        allocate_bandwidth(moved, tokens[order]), allocate_bandwidth(block, tokens)[order], rtol=1e-10
    )


@given(seed=st.integers(0, 2**32 - 1))
def test_latency_falls_with_power_and_rises_with_tokens(seed):
    generator = np.random.default_rng(seed)
    block = spread_block(4, 30, generator)
    tokens = generator.integers(1, 9, 4)
    stronger = Block(block.gate_weights, block.downlink_gains * 2, block.uplink_gains, block.config)
    total = device_times(block, tokens, allocate_bandwidth(block, tokens)).max()
    assert device_times(stronger, tokens, allocate_bandwidth(stronger, tokens)).max() < total
    more = tokens + np.eye(4, dtype=int)[generator.integers(4)]
    assert device_times(block, more, allocate_bandwidth(block, more)).max() > total


def test_a_batch_is_its_rows_bit_for_bit():
    generator = np.random.default_rng(11)
    config = scenario("mixtral")
    blocks = [spread_block(8, 40, generator, tokens=32) for _ in range(33)]
    tokens = generator.integers(0, 9, (33, 8)).astype(float)
    arrays = [np.array([getattr(b, name) for b in blocks]) for name in ("downlink_cn0", "uplink_cn0")]
    computation = np.array([block.computation_time for block in blocks])
    bandwidth, total = np.empty((33, 8)), np.empty(33)
    copies, totals = np.empty((33 * 20, 8)), np.empty(33 * 20)
    allocate_bandwidth_batch(tokens, *arrays, computation, config.payload_bit, config.bandwidth_hz, bandwidth, total)
    # a batch so large that it runs on threads
    tiled = [np.tile(array, (20, 1)) for array in (tokens, *arrays, computation)]
    allocate_bandwidth_batch(*tiled, config.payload_bit, config.bandwidth_hz, copies, totals)
    assert (copies.reshape(20, 33, 8) == bandwidth).all()
    assert (totals.reshape(20, 33) == total).all()
    for row, block in enumerate(blocks):
        assert (allocate_bandwidth(block, tokens[row]) == bandwidth[row]).all()
        assert total[row] == device_times(block, tokens[row], bandwidth[row]).max()


@pytest.mark.parametrize(
    ("selected", "words"),
    [
        (np.ones((3, 3)), r"has shape \(3, 3\)"),
        (np.array([1, -1, 1, 1]), "not negative"),
        (np.array([1, np.nan, 1, 1]), "finite"),
    ],
)
def test_bad_selections_are_named(selected, words):
    with pytest.raises(ValueError, match=words):
        allocate_bandwidth(spread_block(4, 10, np.random.default_rng(0)), selected)


@pytest.mark.parametrize("z", [1e-12, 1e-6, 1e-3, 0.005, 0.00999, 0.0101, 0.3, 40.0])
def test_the_series_near_zero_has_the_closed_forms_value_and_slope(z):
    """psi(z) = 1 / ln(1 + z) - 1 / z and d/dz (z psi(z)), in 60 digits; the first term left out is below z^6."""
    with localcontext() as digits:
        digits.prec = 60
        exact = Decimal(z)
        log = (1 + exact).ln()
        value, slope = 1 / log - 1 / exact, 1 / log - exact / ((1 + exact) * log * log)
    bound = z**6 + 2e-15 if z < 0.01 else 1e-12
    found = _psi(z)
    assert abs(float(Decimal(float(found[0])) - value)) < bound
    assert abs(float(Decimal(float(found[1])) - slope)) < bound

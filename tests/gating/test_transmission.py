"""Noise variance, quantisation error and the whole digital chain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from dmoe_gym.gating import Analog, Digital, SNRDistribution
from dmoe_gym.gating.transmission import bit_error_rate, dequantise, from_bits, quantise, to_bits

ALL = [
    Analog(),
    Analog(repetitions=3),
    *(Digital(code=name) for name in ("uncoded", "repetition3", "hamming74", "golay2312")),
]


def random_features(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape)


@pytest.mark.parametrize("repetitions", [1, 3])
def test_analog_noise_has_the_stated_variance_and_is_gaussian(repetitions):
    features = np.tile(random_features((1, 16)), (20_000, 1))
    snr = 2.5
    received = Analog(repetitions=repetitions).transmit(features, np.full(20_000, snr), np.random.default_rng(1))
    noise = (received - features).ravel()
    variance = np.mean(features[0] ** 2) / (snr * repetitions)
    # (n - 1) s^2 / variance is chi-squared with n - 1 degrees of freedom
    statistic = noise.var(ddof=1) * (noise.size - 1) / variance
    assert 1e-3 < stats.chi2.cdf(statistic, noise.size - 1) < 1 - 1e-3
    assert stats.kstest(noise / np.sqrt(variance), "norm").pvalue > 1e-3


def test_analog_measured_snr_is_each_links_own():
    snr = np.array([[0.1, 1.0, 100.0]])
    features = np.tile(random_features((1, 1, 8)), (30_000, 1, 1))
    received = Analog().transmit(features, snr, np.random.default_rng(2))
    assert received.shape == (30_000, 3, 8)
    power = np.mean(features[0, 0] ** 2)
    measured = power / ((received - features) ** 2).mean(axis=(0, 2))
    np.testing.assert_allclose(measured, snr[0], rtol=0.02)


@given(
    values=hnp.arrays(float, st.integers(1, 20), elements=st.floats(-1, 1)),
    bits=st.integers(1, 16),
)
def test_quantisation_error_is_at_most_half_a_step(values, bits):
    error = np.abs(dequantise(quantise(values, bits), bits) - values)
    assert error.max() <= 2.0**-bits * (1 + 1e-9)


@given(bits=st.integers(1, 12), seed=st.integers(0, 2**16))
def test_levels_to_bits_and_back(bits, seed):
    indices = np.random.default_rng(seed).integers(0, 2**bits, (3, 5))
    words = to_bits(indices, bits)
    assert words.shape == (3, 5 * bits)
    np.testing.assert_array_equal(from_bits(words, bits), indices)


def test_quantiser_refuses_what_it_would_clip():
    for bad in (1.01, np.nan, -np.inf):
        with pytest.raises(ValueError, match="features = "):
            quantise(np.array([0.0, bad]), 4)


@pytest.mark.parametrize("transmission", ALL, ids=lambda transmission: transmission.name)
def test_perfect_channel_leaves_quantisation_alone(transmission):
    features = random_features((10, 1, 16))
    received = transmission.transmit(features, np.full((10, 4), np.inf), np.random.default_rng(0))
    expected = features if transmission.kind == "analog" else dequantise(quantise(features, 4), 4)
    np.testing.assert_array_equal(received, np.broadcast_to(expected, (10, 4, 16)))


@pytest.mark.parametrize("transmission", ALL, ids=lambda transmission: transmission.name)
def test_draws_of_an_input_do_not_depend_on_batch_or_snr_of_others(transmission):
    features, snr = random_features((6, 1, 16)), np.full((6, 4), 1.0)
    whole = transmission.transmit(features, snr, np.random.default_rng(9))
    generator = np.random.default_rng(9)
    parts = [transmission.transmit(features[rows], snr[rows], generator) for rows in (slice(0, 2), slice(2, 6))]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    other = snr.copy()
    other[:3] = 100.0
    np.testing.assert_array_equal(transmission.transmit(features, other, np.random.default_rng(9))[3:], whole[3:])


def test_digital_error_of_uncoded_transmission_has_its_closed_form():
    """Natural binary words: bit i of b weighs 2**(1-i) of the range 2, so E[(x_hat - x_q)^2] = p sum_i 4**(1-i) for
    one flip; for independent flips of a uniform word the cross terms vanish."""
    bits, snr = 4, 2.0
    features = random_features((40_000, 8))
    clean = dequantise(quantise(features, bits), bits)
    received = Digital(bits=bits, modulation="qpsk").transmit(features, np.full(40_000, snr), np.random.default_rng(3))
    squared = ((received - clean) ** 2).ravel()
    exact = float(bit_error_rate("qpsk", snr)) * sum(4.0 ** (1 - i) for i in range(1, bits + 1))
    assert abs(squared.mean() - exact) < 4 * squared.std() / np.sqrt(squared.size)


def test_stronger_codes_leave_fewer_wrong_features_at_moderate_snr():
    features, snr = random_features((4000, 16)), np.full(4000, 4.0)
    wrong = {}
    for name in ("uncoded", "hamming74", "golay2312"):
        received = Digital(code=name).transmit(features, snr, np.random.default_rng(4))
        wrong[name] = (received != dequantise(quantise(features, 4), 4)).mean()
    assert wrong["golay2312"] < wrong["hamming74"] < wrong["uncoded"]


def test_channel_uses():
    assert Analog().channel_uses(16) == 8
    assert Analog(repetitions=3).channel_uses(16) == 24
    assert Digital(bits=4).channel_uses(16) == 32
    assert Digital(bits=4, modulation="bpsk").channel_uses(16) == 64
    assert Digital(bits=4, code="repetition3").channel_uses(16) == 96
    assert Digital(bits=4, code="hamming74").channel_uses(16) == 56
    assert Digital(bits=4, code="golay2312").channel_uses(16) == 69  # 64 bits in 6 words of 23


def test_snr_distribution_is_normal_in_db_and_exponential_under_fading():
    generator = np.random.default_rng(0)
    snr_db = 10 * np.log10(SNRDistribution(mean_db=3.0, spread_db=5.0).draw(generator, 10_000, 4))
    assert stats.kstest(snr_db.ravel(), "norm", args=(3.0, 5.0)).pvalue > 1e-3
    faded = SNRDistribution(mean_db=3.0, spread_db=0.0, fading="rayleigh").draw(generator, 10_000, 4)
    assert stats.kstest(faded.ravel(), "expon", args=(0, 10**0.3)).pvalue > 1e-3


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match=r"SNRDistribution.spread_db = -1.0"):
        SNRDistribution(spread_db=-1.0)
    with pytest.raises(ValueError, match=r"Analog.repetitions = 0"):
        Analog(repetitions=0)
    with pytest.raises(ValueError, match=r"unexpected keyword argument 'bit'"):
        Digital(bit=3)


def test_names_tell_the_repetitions():
    assert [Analog(repetitions=count).name for count in (1, 2, 3)] == [
        "analog",
        "analog_repetition2",
        "analog_repetition3",
    ]

"""Small-scale fading against theory, over 1e5 independent links."""

from __future__ import annotations

import numpy as np
import pytest
from channel_statistics import LINKS, SMALL_SCALE, amplitudes, assert_correlated, assert_distributed, assert_mean
from channel_statistics import generators as rngs_of
from scipy import stats
from scipy.special import j0

from dmoe_gym.channel import GaussMarkovConfig, JakesConfig, RayleighConfig, RicianConfig


def k_factor(config) -> float:
    return getattr(config, "k_factor", 0.0)


def gain_cdf(k: float):
    """2 (K + 1) g is noncentral chi-square with 2 degrees of freedom and noncentrality 2 K (Rician power)."""
    return stats.expon.cdf if k == 0 else lambda gain: stats.ncx2.cdf(2 * (k + 1) * gain, 2, 2 * k)


@pytest.mark.parametrize("config", SMALL_SCALE.values(), ids=SMALL_SCALE)
def test_gains_have_mean_one_and_the_right_distribution_in_the_first_round_and_later(config):
    process, rngs = config.build(1, LINKS, 3), rngs_of()
    process.start([0], rngs)
    k = k_factor(config)
    variance = (1 + 2 * k) / (1 + k) ** 2
    for rounds in (0, 1, 4):
        while rounds:
            process.advance([0], rngs)
            rounds -= 1
        for subcarrier in (0, 2):
            gains = process.gains[0, :, :, subcarrier].astype(float)
            assert_mean(gains, 1, variance)
            assert_distributed(gains, gain_cdf(k))


@pytest.mark.parametrize("k", [0.0, 1.0, 10.0])
def test_the_rician_factor_is_found_again_from_the_moments(k):
    """K from the mean and the variance of the gains: with r = 1 - var / mean^2, K = (r + sqrt r) / (1 - r)."""
    process = RicianConfig(k_factor=k).build(1, LINKS, 1)
    process.start([0], rngs_of())
    gains = process.gains.astype(float)
    variance = (1 + 2 * k) / (1 + k) ** 2
    # the fourth central moment of |mu + s|^2, from the cumulants of the noncentral chi-square distribution
    fourth = float(stats.ncx2.moment(4, 2, 2 * k)) if k else float(stats.chi2.moment(4, 2))
    raw = [1, *(float(stats.ncx2.moment(order, 2, max(2 * k, 1e-12))) for order in (1, 2, 3)), fourth]
    scale = 2 * (k + 1)
    central = sum(c * raw[4 - i] * (-raw[1]) ** i for i, c in enumerate((1, 4, 6, 4, 1))) / scale**4
    assert_mean((gains - 1) ** 2, variance, central - variance**2)


@pytest.mark.parametrize("rounds", [1, 2, 5, 17])
@pytest.mark.parametrize(
    "config",
    [
        RayleighConfig(),
        GaussMarkovConfig(),
        GaussMarkovConfig(doppler_hz=50.0),
        JakesConfig(),
        JakesConfig(doppler_hz=3),
    ],
    ids=str,
)
def test_autocorrelation_over_rounds(config, rounds):
    process, rngs = config.build_amplitude(1, LINKS, 1), rngs_of()
    process.start([0], rngs)
    process.advance([0], rngs)  # a lag that starts at round 1 is as good as one that starts at round 0
    first = amplitudes(process)
    for _ in range(rounds):
        process.advance([0], rngs)
    assert_correlated(first, amplitudes(process), config.lag_correlation(rounds))
    assert_correlated(first, amplitudes(process).conj(), 0)  # circular


def test_gains_correlate_with_the_square_of_the_amplitudes_correlation():
    config = GaussMarkovConfig(doppler_hz=10.0, round_duration_s=0.01)
    rho = config.lag_correlation(2)
    assert config.correlation == pytest.approx(j0(0.2 * np.pi))
    process, rngs = config.build(1, LINKS, 1), rngs_of()
    process.start([0], rngs)
    first = process.gains.astype(float)
    for _ in range(2):
        process.advance([0], rngs)
    # E[g1^2 g2^2] = 4 (1 + 4 rho^2 + rho^4), hence the variance of the product g1 g2 of mean 1 + rho^2
    variance = 4 * (1 + 4 * rho**2 + rho**4) - (1 + rho**2) ** 2
    assert_mean(first * process.gains, 1 + rho**2, variance)


@pytest.mark.parametrize("doppler_hz", [0.0, 1.0, 10.0, 50.0, 200.0])
def test_jakes_generator_has_bessel_correlation_at_every_lag(doppler_hz):
    """Without randomness: the correlation that the sinusoids' frequencies imply, against J0, to the stated 1e-6."""
    config = JakesConfig(doppler_hz=doppler_hz, rounds=64)
    frequencies = 2 * np.pi * doppler_hz * 0.01 * np.cos(np.pi * (np.arange(config.sinusoids) + 0.5) / config.sinusoids)
    lags = np.arange(65)
    implied = np.cos(np.outer(lags, frequencies)).mean(axis=1)
    np.testing.assert_allclose(implied, j0(2 * np.pi * doppler_hz * 0.01 * lags), atol=2e-6)


def test_jakes_correlation_at_the_longest_promised_lag():
    config = JakesConfig(doppler_hz=7.0, rounds=40)
    process, rngs = config.build(1, LINKS, 1), rngs_of()
    process.start([0], rngs)
    first = amplitudes(process)
    for _ in range(40):
        process.advance([0], rngs)
    assert_correlated(first, amplitudes(process), j0(2 * np.pi * 7.0 * 0.01 * 40))
    assert_distributed(process.gains, stats.expon.cdf)


def test_line_of_sight_alone_does_not_fade():
    process, rngs = RicianConfig(k_factor=1e9).build(1, (3, 3), 4), rngs_of()
    process.start([0], rngs)
    np.testing.assert_allclose(process.gains, 1, atol=1e-3)


def test_no_doppler_no_change():
    for config in (GaussMarkovConfig(doppler_hz=0.0), JakesConfig(doppler_hz=0.0)):
        process, rngs = config.build(1, (3, 3), 4), rngs_of()
        process.start([0], rngs)
        first = process.gains.copy()
        process.advance([0], rngs)
        np.testing.assert_array_equal(process.gains, first)
        assert first.std() > 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: GaussMarkovConfig(doppler_hz=-1.0),
            r"GaussMarkovConfig.doppler_hz = -1.0: .*greater than or equal to 0",
        ),
        (lambda: GaussMarkovConfig(round_duration_s=0.0), r"round_duration_s = 0.0: .*greater than or equal to"),
        (lambda: JakesConfig(rounds=0), r"JakesConfig.rounds = 0: .*greater than or equal to 1"),
        (lambda: JakesConfig(doppler_hz=1e4), r"2 pi doppler_hz round_duration_s rounds = 40212: valid is at most 924"),
        (lambda: RicianConfig(k_factor=-0.1), r"RicianConfig.k_factor = -0.1: .*greater than or equal to 0"),
        (lambda: RicianConfig(k_factor="4"), r"RicianConfig.k_factor = '4'"),
        (lambda: RicianConfig(scattered={"kind": "rician"}), r"RicianConfig.scattered.*'tapped_delay_line'"),
        (
            lambda: RicianConfig(scattered={"kind": "jakes", "doppler": 1.0}),
            r"unexpected keyword argument 'doppler'.*doppler_hz",
        ),
        (lambda: RayleighConfig(k_factor=1.0), r"unexpected keyword argument 'k_factor'; valid fields are kind"),
    ],
)
def test_bad_configurations_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()

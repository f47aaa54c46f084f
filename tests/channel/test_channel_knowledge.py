"""Channel knowledge against its model, and the law of the present gain given it, over 1e5 links."""

from __future__ import annotations

import numpy as np
import pytest
from channel_statistics import LINKS, RARE, assert_distributed, assert_mean, generators
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dmoe_gym.channel import (
    CSIConfig,
    GaussMarkovConfig,
    JakesConfig,
    LargeScaleConfig,
    RayleighConfig,
    RicianConfig,
    TappedDelayLineConfig,
)
from dmoe_gym.channel.prediction import conditional_mean_gain, outage_probability


def observe(config, csi, rounds: int, links=LINKS, subcarriers: int = 1):
    """Gains now and as observed now, after `rounds` rounds."""
    process, rngs = config.build(1, links, subcarriers), generators()
    knowledge = csi.build(process)
    process.start([0], rngs)
    knowledge.start([0], rngs)
    for _ in range(rounds):
        process.advance([0], rngs)
        knowledge.advance([0], rngs)
    return process, knowledge


@pytest.mark.parametrize("delay", [1, 2, 3, 7])
def test_delayed_knowledge_shows_the_past_and_first_of_all_round_zero(delay):
    process, rngs = GaussMarkovConfig().build(2, (3, 3), 4), generators(2)
    knowledge = CSIConfig(delay_rounds=delay).build(process)
    for _ in range(2):  # the second episode must not see the first one
        past = []
        for round_ in range(12):
            (process.advance if round_ else process.start)([0, 1], rngs)
            (knowledge.advance if round_ else knowledge.start)([0, 1], rngs)
            past.append(process.gains.copy())
            np.testing.assert_array_equal(knowledge.observed_gains, past[max(0, round_ - delay)])


@pytest.mark.parametrize("variance", [0.01, 0.2, 0.9])
def test_noisy_estimates_have_the_stated_moments_and_distribution(variance):
    """|h_hat|^2 is exponential of mean 1 - v, and h_hat of correlation 1 - v with h."""
    process, knowledge = observe(RayleighConfig(), CSIConfig(error_variance=variance), 1)
    gains, observed = process.gains.astype(float), knowledge.observed_gains.astype(float)
    assert_distributed(observed, stats.expon(scale=1 - variance).cdf)
    # h = h_hat + e with independent e: E[g o] = E[o^2] + v E[o] = 2 (1 - v)^2 + v (1 - v)
    mean = 2 * (1 - variance) ** 2 + variance * (1 - variance)
    # E[g^2 o^2] = E[o^2 E[g^2 | o]], and g given o has the second moment o^2 + 4 o v + 2 v^2
    o = [np.nan, 1 - variance, 2 * (1 - variance) ** 2, 6 * (1 - variance) ** 3, 24 * (1 - variance) ** 4]
    second = o[4] + 4 * variance * o[3] + 2 * variance**2 * o[2]
    assert_mean(gains * observed, mean, second - mean**2)


def test_errors_are_independent_from_round_to_round_and_over_subcarriers():
    config, csi = GaussMarkovConfig(doppler_hz=0.0), CSIConfig(error_variance=0.5)
    process, rngs = config.build(1, LINKS, 2), generators()
    knowledge = csi.build(process)
    process.start([0], rngs)
    knowledge.start([0], rngs)
    first = knowledge.observed_gains.astype(float)
    knowledge.advance([0], rngs)
    second = knowledge.observed_gains.astype(float)
    # given g both are independent, so their covariance is that of E[o | g] = (1 - v)^2 g + v (1 - v), (1 - v)^4
    product = (first - 0.5) * (second - 0.5)
    # E[product^2] <= sqrt(E[(o - 0.5)^4]^2) = 9 * 0.5^4 for exponential o of mean 0.5
    assert_mean(product, 0.5**4, 9 * 0.5**4)
    across = (first[..., 0] - 0.5) * (first[..., 1] - 0.5)
    assert_mean(across, 0, 0.5**4)


def test_error_is_relative_to_the_local_mean_gain():
    config = LargeScaleConfig(small_scale=RayleighConfig(), shadowing_std_db=6.0)
    process, knowledge = observe(config, CSIConfig(error_variance=0.4), 1, links=(5, 5), subcarriers=20_000)
    for i in range(5):
        for j in range(5):
            mean = 0.6 * float(process.mean_gains[0, i, j, 0])
            assert_mean(knowledge.observed_gains[0, i, j].astype(float), mean, mean**2)


LAWS = {
    "delayed": (GaussMarkovConfig(), CSIConfig(delay_rounds=2)),
    "noisy": (GaussMarkovConfig(), CSIConfig(error_variance=0.2)),
    "both": (GaussMarkovConfig(doppler_hz=15.0), CSIConfig(delay_rounds=1, error_variance=0.1)),
    "negative_correlation": (GaussMarkovConfig(doppler_hz=55.0), CSIConfig(delay_rounds=1, error_variance=0.1)),
    "jakes": (JakesConfig(), CSIConfig(delay_rounds=3, error_variance=0.05)),
    "tapped": (TappedDelayLineConfig(evolution=GaussMarkovConfig()), CSIConfig(delay_rounds=1)),
    "rician": (RicianConfig(k_factor=2.0, scattered=GaussMarkovConfig()), CSIConfig(delay_rounds=2)),
    "rician_both": (
        RicianConfig(k_factor=5.0, scattered=GaussMarkovConfig()),
        CSIConfig(delay_rounds=1, error_variance=0.2),
    ),
    "independent": (RayleighConfig(), CSIConfig(delay_rounds=1)),
}


@pytest.mark.parametrize(("config", "csi"), LAWS.values(), ids=LAWS)
def test_conditional_law_is_calibrated(config, csi):
    """The mean's error is orthogonal to functions of the observation, and F(g | observed) is uniform in every third."""
    process, knowledge = observe(config, csi, csi.delay_rounds + 1)
    gains, observed = (array.astype(float).ravel() for array in (process.gains, knowledge.observed_gains))
    law = csi.law(config, csi.delay_rounds)
    error = gains - law.mean_gain(observed)
    for weight in (np.ones_like(observed), observed, observed > 1, np.cos(3 * observed)):
        product = error * weight
        assert_mean(product, 0, product.var())
    # the outage probability at the rate that the true gain just carries is the distribution function at the gain
    snr = 7.0
    few = slice(0, 20_000)
    uniform = law.outage_probability(observed[few], np.log2(1 + snr * gains[few]), snr)
    order = observed[few].argsort()
    for third in np.array_split(uniform[order], 3):
        assert stats.kstest(third, stats.uniform.cdf).pvalue > RARE


def test_perfect_knowledge_predicts_itself():
    observed = np.array([0.0, 0.3, 2.0])
    for k in (0.0, 3.0):
        mean = conditional_mean_gain(observed, correlation=1.0, k_factor=k)
        np.testing.assert_allclose(mean, observed, atol=1e-12)
        outage = outage_probability(
            observed, np.log2(1 + 10 * np.array([0.1, 0.29, 2.01])), snr=10.0, correlation=1.0, k_factor=k
        )
        np.testing.assert_array_equal(outage, [1, 0, 1])


def test_no_correlation_leaves_the_marginal_law():
    observed = np.array([0.1, 1.0, 5.0])
    np.testing.assert_allclose(conditional_mean_gain(observed, correlation=0.0, mean_gain=3.0), 3.0)
    outage = outage_probability(observed, 1.0, snr=2.0, correlation=0.0, mean_gain=3.0)
    np.testing.assert_allclose(outage, -np.expm1(-(2**1.0 - 1) / 2.0 / 3.0))
    rician = outage_probability(observed, 1.0, snr=2.0, correlation=0.0, k_factor=4.0)
    np.testing.assert_allclose(rician, stats.ncx2.cdf(2 * 5 * 0.5, 2, 8.0), rtol=1e-9)


@given(
    st.floats(0, 20), st.floats(-1, 1), st.floats(0, 0.99), st.floats(0, 100), st.floats(0.01, 100), st.floats(0, 12)
)
def test_outage_is_a_probability_that_grows_with_the_target(observed, correlation, variance, k, mean, target):
    law = {"snr": 10.0, "correlation": correlation, "error_variance": variance, "k_factor": k, "mean_gain": mean}
    lower, upper = outage_probability(observed, np.array([target, target + 0.5]), **law)
    assert 0 <= lower <= upper + 1e-9
    assert upper <= 1 + 1e-9
    assert outage_probability(observed, 0.0, **law) == 0
    mean_gain = conditional_mean_gain(observed, **{name: value for name, value in law.items() if name != "snr"})
    assert np.isfinite(mean_gain)
    assert mean_gain >= 0


@given(st.floats(0.05, 50), st.floats(0.1, 60.0), st.floats(0.5, 1), st.floats(0, 0.5))
def test_phase_quadrature_against_a_dense_rule(observed, k, correlation, variance):
    """The 24-point rule against 20,001 trapezoidal points of the same integral, written out anew."""
    target, snr = 2.0, 10.0
    s2, mu, n0 = 1 / (k + 1), np.sqrt(k / (k + 1)), variance / (1 - variance)
    y, a = np.sqrt(observed) / (1 - variance), s2 / (s2 + n0)
    c, spread = correlation * a, s2 * (1 - correlation**2 * a)
    if spread < 1e-4:
        return
    phase = np.linspace(-np.pi, np.pi, 20_001)[:-1]
    weight = np.exp(2 * y * mu / (s2 + n0) * (np.cos(phase) - 1))
    power = np.abs(mu * (1 - c) + c * y * np.exp(1j * phase)) ** 2
    below = stats.ncx2.cdf(2 * (2**target - 1) / snr / spread, 2, 2 * power / spread)
    expected = (weight * below).sum() / weight.sum()
    found = outage_probability(observed, target, snr=snr, correlation=correlation, error_variance=variance, k_factor=k)
    assert abs(found - expected) < 1e-4
    mean = conditional_mean_gain(observed, correlation=correlation, error_variance=variance, k_factor=k)
    assert mean == pytest.approx((weight * power).sum() / weight.sum() + spread, rel=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CSIConfig(delay_rounds=-1), r"CSIConfig.delay_rounds = -1: .*greater than or equal to 0"),
        (lambda: CSIConfig(delay_rounds=1.5), r"CSIConfig.delay_rounds = 1.5: .*integer"),
        (lambda: CSIConfig(error_variance=1.0), r"CSIConfig.error_variance = 1.0: .*less than or equal to 0.999"),
        (
            lambda: CSIConfig(delay=1),
            r"unexpected keyword argument 'delay'; valid fields are delay_rounds, error_variance",
        ),
        (lambda: conditional_mean_gain([1.0, -2.0], correlation=0.5), r"observed = -2.0: .*at least 0"),
        (lambda: conditional_mean_gain(1.0, correlation=1.5), r"correlation = 1.5: .*between -1 and 1"),
        (lambda: conditional_mean_gain(1.0, correlation=1.0, error_variance=1.0), r"error_variance = 1.0"),
        (lambda: outage_probability(1.0, -1.0, snr=1.0, correlation=1.0), r"target = -1.0"),
        (lambda: outage_probability(1.0, 1.0, snr=0.0, correlation=1.0), r"snr = 0.0: .*more than 0"),
        (lambda: outage_probability(np.nan, 1.0, snr=1.0, correlation=1.0), r"observed = nan"),
    ],
)
def test_bad_input_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_signals_may_lie_below_the_noise():
    """SNR 0.1 at no correlation: 1 - exp(-(2^target - 1) / snr) whatever was seen."""
    outage = outage_probability(1.0, 0.2, snr=0.1, correlation=0.0)
    assert outage == pytest.approx(1 - np.exp(-(2**0.2 - 1) / 0.1))

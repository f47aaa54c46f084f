"""Shared by the channel tests: the configurations under test and confidence bounds taken from theory.

Every test uses the fixed seed SEED; bounds are 4 standard deviations of the estimator, computed from theory, and
Kolmogorov-Smirnov tests fail below the probability of as rare an event.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from dmoe_gym.channel import (
    CSIConfig,
    GaussMarkovConfig,
    GaussMarkovMobilityConfig,
    JakesConfig,
    LargeScaleConfig,
    RandomWaypointConfig,
    RayleighConfig,
    RicianConfig,
    TappedDelayLineConfig,
)

SEED = 20261122
SIGMAS = 4.0
RARE = 2 * stats.norm.sf(SIGMAS)
LINKS = (100, 1000)  # 1e5 independent links

SMALL_SCALE = {
    "rayleigh": RayleighConfig(),
    "gauss_markov": GaussMarkovConfig(),
    "jakes": JakesConfig(),
    "rician": RicianConfig(),
    "rician_gauss_markov": RicianConfig(k_factor=2.0, scattered=GaussMarkovConfig()),
    "exponential": TappedDelayLineConfig(),
    "tdl_a": TappedDelayLineConfig(profile="TDL-A"),
    "tdl_b_gauss_markov": TappedDelayLineConfig(profile="TDL-B", evolution=GaussMarkovConfig()),
    "tdl_c_jakes": TappedDelayLineConfig(profile="TDL-C", evolution=JakesConfig(rounds=16)),
    "rician_exponential_jakes": RicianConfig(scattered=TappedDelayLineConfig(evolution=JakesConfig(rounds=8))),
}
EVERY = {
    **SMALL_SCALE,
    "static": LargeScaleConfig(),
    "waypoint": LargeScaleConfig(small_scale=GaussMarkovConfig(), mobility=RandomWaypointConfig()),
    "mobile": LargeScaleConfig(
        small_scale=TappedDelayLineConfig(evolution=GaussMarkovConfig(round_duration_s=0.1)),
        mobility=GaussMarkovMobilityConfig(rms_speed_m_s=20.0, round_duration_s=0.1),
    ),
    "unshadowed": LargeScaleConfig(shadowing_std_db=0.0),
}
KNOWLEDGE = {
    "perfect": CSIConfig(),
    "delayed": CSIConfig(delay_rounds=2),
    "noisy": CSIConfig(error_variance=0.1),
    "both": CSIConfig(delay_rounds=1, error_variance=0.3),
}


def generators(count: int = 1, seed: int = SEED) -> list[np.random.Generator]:
    """One generator for each environment."""
    return [np.random.default_rng([seed, index]) for index in range(count)]


def amplitudes(process) -> np.ndarray:
    """The complex amplitudes of environment 0, (sources, destinations, subcarriers)."""
    return process.amplitude[0, 0] + 1j * process.amplitude[0, 1]


def assert_mean(samples: np.ndarray, mean: float, variance: float) -> None:
    """The mean of independent samples of known variance is within 4 standard deviations of theory."""
    bound = SIGMAS * np.sqrt(variance / samples.size)
    assert abs(samples.mean() - mean) < bound, f"{samples.mean()} is not within {bound} of {mean}"


def assert_distributed(samples: np.ndarray, cdf) -> None:
    """Independent samples follow a distribution (Kolmogorov-Smirnov)."""
    probability = stats.kstest(np.ravel(samples).astype(float), cdf).pvalue
    assert probability > RARE, f"Kolmogorov-Smirnov probability {probability}"


def assert_correlated(first: np.ndarray, second: np.ndarray, correlation: complex) -> None:
    """E[first conj(second)] of circular complex normal samples of unit power.

    Re and Im of first conj(second) have variances (1 + a^2 - b^2) / 2 and (1 - a^2 + b^2) / 2 at correlation a + jb.
    """
    product = (first * second.conj()).ravel()
    real, imaginary = np.real(correlation), np.imag(correlation)
    assert_mean(product.real, real, (1 + real**2 - imaginary**2) / 2)
    assert_mean(product.imag, imaginary, (1 - real**2 + imaginary**2) / 2)

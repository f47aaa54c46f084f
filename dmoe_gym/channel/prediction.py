"""The law of the present gain given an observed one that is old, noisy or both.

All functions are pure and elementwise; arguments broadcast. They condition on one observed gain |h_hat|^2 as
`CSIConfig` defines it, which for Gauss-Markov fading without estimation error is all that the past tells. With an
estimation error, or for Jakes fading, a filter over several rounds would know more. Common arguments:

    observed: observed gains |h_hat|^2, linear.
    correlation: of the scattered complex amplitude over the delay, `config.lag_correlation(delay_rounds)`.
    error_variance: of the estimate, `CSIConfig.error_variance`.
    k_factor: of Rician fading with a constant line of sight; 0 for Rayleigh fading.
    mean_gain: local mean of the gain, known to the scheduler (`ChannelProcess.mean_gains`), taken as unchanged since.

Derivation (this project's, elementary): with all gains over mean_gain, the scattered power s2 = 1 / (K + 1), the line
of sight mu = sqrt(K / (K + 1)), the pilot's noise n0 = v / (1 - v) and |y| = |h_hat| / (1 - v), the present amplitude
given y is complex normal of mean mu (1 - c) + c y and variance V = s2 (1 - rho^2 a), where a = s2 / (s2 + n0) and
c = rho a. The phase of y against mu is not observed: given |y| it is von Mises of concentration 2 |y| mu / (s2 + n0).
For Rayleigh fading: mean rho y_hat, y_hat = h_hat, and variance V = 1 - rho^2 (1 - v).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chndtr, ive

PHASES = 24


@dataclass(frozen=True)
class _Law:
    """Mean power given the phase t: base + swing cos t, von Mises t; plus complex normal of `variance`."""

    base: np.ndarray
    swing: np.ndarray
    concentration: np.ndarray
    variance: np.ndarray


def conditional_mean_gain(
    observed: Any, *, correlation: Any, error_variance: Any = 0.0, k_factor: Any = 0.0, mean_gain: Any = 1.0
) -> np.ndarray:
    """E[gain now | observed gain], linear, of the arguments' broadcast shape.

    For Rayleigh fading rho^2 observed + (1 - rho^2 (1 - v)) mean_gain.

    Raises:
        ValueError: for arguments outside |correlation| <= 1, 0 <= error_variance < 1, k_factor >= 0, mean_gain > 0,
            observed >= 0.
    """
    law = _law(observed, correlation, error_variance, k_factor, mean_gain)
    # without a line of sight the phase has no say, and no Bessel functions need to be computed
    mean_cosine = ive(1, law.concentration) / ive(0, law.concentration) if law.swing.any() else 0.0
    return np.asarray(mean_gain, float) * (law.base + law.swing * mean_cosine + law.variance)


def outage_probability(
    observed: Any,
    target: Any,
    *,
    snr: Any,
    correlation: Any,
    error_variance: Any = 0.0,
    k_factor: Any = 0.0,
    mean_gain: Any = 1.0,
) -> np.ndarray:
    """P(log2(1 + snr * gain) < target | observed gain), of the arguments' broadcast shape.

    For Rayleigh fading 2 gain / (V mean_gain) is noncentral chi-square with 2 degrees of freedom and noncentrality
    2 rho^2 observed / (V mean_gain). With a line of sight the unobserved phase is integrated numerically
    (Gauss-Legendre, 24 points).

    Args:
        target: spectral efficiency that must be reached [bit/s/Hz].
        snr: linear signal-to-noise ratio at gain 1, P0 / N0.

    Raises:
        ValueError: as `conditional_mean_gain`, and for target < 0 or snr <= 0.
    """
    _check("target", target, lambda value: value >= 0, "at least 0")
    _check("snr", snr, lambda value: value > 0, "more than 0")
    law = _law(observed, correlation, error_variance, k_factor, mean_gain)
    needed = np.expm1(np.asarray(target, float) * np.log(2)) / (np.asarray(snr, float) * np.asarray(mean_gain, float))
    if not law.concentration.any():
        return _below(needed, law.base, law.variance)
    # the density exp(k (cos t - 1)) is below 1e-10 past 7 / sqrt(k), and even in t
    nodes, weights = np.polynomial.legendre.leggauss(PHASES)
    concentration = law.concentration[..., None]
    widest = np.minimum(np.pi, 7 / np.sqrt(np.maximum(concentration, 1e-12)))
    cosines = np.cos((nodes + 1) / 2 * widest)
    density = weights * np.exp(concentration * (cosines - 1))
    mean_power = law.base[..., None] + law.swing[..., None] * cosines
    below = _below(needed[..., None], mean_power, law.variance[..., None])
    return (density * below).sum(axis=-1) / density.sum(axis=-1)


def _law(observed: Any, correlation: Any, error_variance: Any, k_factor: Any, mean_gain: Any) -> _Law:
    _check("observed", observed, lambda value: value >= 0, "at least 0")
    _check("correlation", correlation, lambda value: np.abs(value) <= 1, "between -1 and 1")
    _check("error_variance", error_variance, lambda value: (value >= 0) & (value < 1), "at least 0 and less than 1")
    _check("k_factor", k_factor, lambda value: value >= 0, "at least 0")
    _check("mean_gain", mean_gain, lambda value: value > 0, "more than 0")
    observed, rho, v, k, mean = np.broadcast_arrays(
        *(np.asarray(value, float) for value in (observed, correlation, error_variance, k_factor, mean_gain))
    )
    scattered, sight = 1 / (k + 1), np.sqrt(k / (k + 1))
    pilot = np.sqrt(observed / mean) / (1 - v)
    trust = scattered / (scattered + v / (1 - v))
    weight = rho * trust
    return _Law(
        base=(sight * (1 - weight)) ** 2 + (weight * pilot) ** 2,
        swing=2 * weight * (1 - weight) * sight * pilot,
        concentration=2 * pilot * sight / (scattered + v / (1 - v)),
        variance=scattered * (1 - rho**2 * trust),
    )


def _below(needed: np.ndarray, mean_power: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """P(|x|^2 < needed), x complex normal of |mean|^2 = `mean_power` and of `variance`, which may be 0.

    A variance below 1e-7 of the mean power counts as 0: the noncentral distribution's series gets slow there.
    """
    certain = (variance <= 0) | (variance < 1e-7 * mean_power)
    safe = np.where(certain, 1.0, variance)
    probability = chndtr(2 * needed / safe, 2, 2 * mean_power / safe)
    return np.where(certain, mean_power < needed, probability)


def _check(name: str, value: Any, valid: Any, words: str) -> None:
    array = np.asarray(value, float)
    wrong = ~(np.isfinite(array) & valid(array))
    if wrong.any():
        raise ValueError(f"{name} = {array[wrong].flat[0]}: valid are finite numbers, {words}")

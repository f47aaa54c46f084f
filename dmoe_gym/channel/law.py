"""What is known of a link's present gain once an old or noisy estimate of it was observed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmoe_gym.channel.prediction import conditional_mean_gain, outage_probability

# local means are estimated from observed gains, which may all be zero
LEAST_MEAN = 1e-12


class GainLaw(ABC):
    """The law of the present gains given the observed ones; all that a scheduler needs who predicts."""

    @abstractmethod
    def mean_gain(self, observed: np.ndarray) -> np.ndarray:
        """E[gain now | observed gains] of links (..., subcarriers), linear, of the same shape."""


@dataclass(frozen=True)
class FadingLaw(GainLaw):
    """A constant line of sight, or none, beside a circular complex normal amplitude: `channel.prediction`.

    Attributes:
        correlation: of the scattered complex amplitude between the observation and now.
        error_variance: of the observed estimate, see `CSIConfig`.
        k_factor: power of the line of sight over the scattered power.
        known_means: is every link's local mean gain 1? If not it is estimated as the mean over its subcarriers.
        independent: are the gains independent over links and subcarriers?
    """

    correlation: float
    error_variance: float = 0.0
    k_factor: float = 0.0
    known_means: bool = True
    independent: bool = True

    @property
    def has_line_of_sight(self) -> bool:
        """Is there a constant part? Closed forms for compiled code hold without one."""
        return self.k_factor > 0

    def local_mean(self, observed: np.ndarray) -> Any:
        """The local mean gain of every link, (..., 1), or 1 where it is known."""
        if self.known_means:
            return 1.0
        return np.maximum(observed.mean(-1, keepdims=True) / (1 - self.error_variance), LEAST_MEAN)

    def mean_gain(self, observed: np.ndarray) -> np.ndarray:
        return conditional_mean_gain(
            observed,
            correlation=self.correlation,
            error_variance=self.error_variance,
            k_factor=self.k_factor,
            mean_gain=self.local_mean(observed),
        )

    def outage_probability(self, observed: np.ndarray, target: Any, snr: Any) -> np.ndarray:
        """P(log2(1 + snr * gain) < target | observed gains (..., subcarriers)); see `prediction`."""
        return outage_probability(
            observed,
            target,
            snr=snr,
            correlation=self.correlation,
            error_variance=self.error_variance,
            k_factor=self.k_factor,
            mean_gain=self.local_mean(observed),
        )

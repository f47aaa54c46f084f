"""Analog transmission: the features themselves modulate the carrier, the channel adds Gaussian noise."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from dmoe_gym.config import StrictConfig


class Analog(StrictConfig):
    """x_hat = x + n, noise variance mean(x^2) / SNR per feature (docs/gating.md).

    mean(x^2) is taken over the feature vector of each input: the transmitter scales each vector to the same power and
    the receiver undoes it. Two features share one complex channel use, so SNR is Es/N0 as in the digital chain.

    Attributes:
        repetitions: how often the vector is sent; the receiver averages, which divides the noise variance
            (assumed 1; the analog counterpart of a repetition code).
    """

    kind: Literal["analog"] = "analog"
    repetitions: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    @property
    def name(self) -> str:
        """Short label for tables and file names."""
        return "analog" if self.repetitions == 1 else f"analog_repetition{self.repetitions}"

    def channel_uses(self, feature_size: int) -> float:
        """Complex channel uses that one feature vector takes."""
        return self.repetitions * feature_size / 2

    def draw(self, generator: np.random.Generator, links: tuple[int, ...], feature_size: int) -> np.ndarray:
        """The random numbers of one transmission over links of shape (...): standard normal, (..., D)."""
        return generator.standard_normal((*links, feature_size))

    def receive(self, features: np.ndarray, snr: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """What the receivers hear, given what `draw` returned; arguments else and result as in `transmit`."""
        features = np.asarray(features, float)
        power = np.mean(features**2, axis=-1, keepdims=True)
        deviation = np.sqrt(power / (np.asarray(snr, float)[..., None] * self.repetitions))
        return features + deviation * noise

    def transmit(self, features: np.ndarray, snr: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """What the receivers hear.

        Args:
            features: (..., D) float.
            snr: linear SNR of each link, a shape that broadcasts against the features' (...); above 0, infinity allowed
                (the features arrive unchanged).
            generator: random source; the number of draws depends on the shapes alone.

        Returns:
            (..., D) float64, (...) as broadcast.
        """
        links = np.broadcast_shapes(np.shape(features)[:-1], np.shape(snr))
        return self.receive(features, snr, self.draw(generator, links, np.shape(features)[-1]))

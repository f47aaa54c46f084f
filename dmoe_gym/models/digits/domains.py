"""Domains of the digits: ways to look at the same image. Expert j may specialise in domain j."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np

# Pixels run from -1 (background) to 1 (ink), images are (B, 8, 8).
NOISE = 0.35  # standard deviation of the noise on every image, in every domain (this project's choice)
STRONG_NOISE = 0.9  # of the domain `noisy`


def _clean(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return images


def _rotated(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return np.rot90(images, axes=(1, 2))


def _inverted(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return -images


def _shifted(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """By two pixels along a diagonal drawn per image; what leaves on one side is lost."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)), constant_values=-1.0)
    down, right = generator.integers(0, 2, (2, len(images))) * 4
    rows = down[:, None] + np.arange(8)
    columns = right[:, None] + np.arange(8)
    return padded[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _noisy(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return images + STRONG_NOISE * generator.standard_normal(images.shape, dtype=np.float32)


def _mirrored(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return images[:, :, ::-1]


Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]

DOMAINS: MappingProxyType[str, Transform] = MappingProxyType(
    {
        "clean": _clean,
        "rotated": _rotated,
        "inverted": _inverted,
        "shifted": _shifted,
        "noisy": _noisy,
        "mirrored": _mirrored,
    }
)


def in_every_domain(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The same images in each domain, with fresh noise.

    Args:
        images: (B, 8, 8) float32, about -1 to 1.
        generator: random source of shifts and noise.

    Returns:
        (domains, B, 4, 16) float32: the four quadrants of each image as rows of pixels, the hidden states' input.
    """
    seen = np.stack([transform(images, generator) for transform in DOMAINS.values()])
    seen = seen + np.float32(NOISE) * generator.standard_normal(seen.shape, dtype=np.float32)
    return patches(seen)


def patches(images: np.ndarray) -> np.ndarray:
    """(..., 8, 8) images to (..., 4, 16): quadrants in reading order, their pixels in reading order."""
    lead = images.shape[:-2]
    quadrants = images.reshape(*lead, 2, 4, 2, 4).swapaxes(-3, -2)
    return np.ascontiguousarray(quadrants.reshape(*lead, 4, 16), dtype=np.float32)

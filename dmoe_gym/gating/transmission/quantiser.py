"""Uniform mid-rise quantiser on [-1, 1] and the natural binary words of its levels."""

from __future__ import annotations

import numpy as np


def quantise(values: np.ndarray, bits: int) -> np.ndarray:
    """Level index of each value, 0 .. 2**bits - 1, same shape, int64.

    Raises:
        ValueError: for values outside [-1, 1] or not finite.
    """
    values = np.asarray(values, float)
    inside = np.abs(values) <= 1
    if not inside.all():
        raise ValueError(f"features = {values[~inside][0]}: the quantiser takes finite numbers from -1 to 1")
    levels = 2**bits
    return np.minimum(((values + 1) * (levels / 2)).astype(np.int64), levels - 1)


def dequantise(indices: np.ndarray, bits: int) -> np.ndarray:
    """Centre of each level's cell, same shape, float64; within 2**-bits of what was quantised."""
    return (np.asarray(indices) + 0.5) * 2.0 ** (1 - bits) - 1


def to_bits(indices: np.ndarray, bits: int) -> np.ndarray:
    """Natural binary words, most significant bit first: (..., D) indices become (..., D * bits) uint8."""
    shifts = np.arange(bits - 1, -1, -1)
    words = (np.asarray(indices)[..., None] >> shifts) & 1
    return words.astype(np.uint8).reshape(*words.shape[:-2], -1)


def from_bits(words: np.ndarray, bits: int) -> np.ndarray:
    """Inverse of `to_bits`."""
    words = np.asarray(words).reshape(*words.shape[:-1], -1, bits)
    return words @ (1 << np.arange(bits - 1, -1, -1))

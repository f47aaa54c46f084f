"""Path loss: log-distance between nodes, and free space around a base station."""

from __future__ import annotations

import numpy as np


def pairwise_distances(positions: np.ndarray) -> np.ndarray:
    """Distances of all nodes, (nodes, nodes) [m], of `positions` (nodes, 2) [m]."""
    difference = positions[:, None] - positions[None]
    return np.hypot(difference[..., 0], difference[..., 1])


def log_distance_gain(
    distances_m: np.ndarray, exponent: float, reference_distance_m: float, minimum_distance_m: float
) -> np.ndarray:
    """Linear gain (d / d_reference)^(-exponent), 1 at the reference distance; d at least `minimum_distance_m`.

    Source: the log-distance model of the textbooks, e.g. Rappaport, "Wireless Communications", 2nd ed., 4.9.1.
    """
    return (np.maximum(distances_m, minimum_distance_m) / reference_distance_m) ** -exponent


def path_loss_db(distance_m: np.ndarray | float, carrier_hz: float) -> np.ndarray:
    """32.4 + 20 log10(f / GHz) + 20 log10(d / m) [dB]: free space (docs/channels.md).

    Args:
        distance_m: distances, any shape [m], positive.
        carrier_hz: carrier frequency [Hz], positive.

    Raises:
        ValueError: for a distance or a carrier that is not positive and finite.
    """
    distance = np.asarray(distance_m, np.float64)
    if not (np.isfinite(distance) & (distance > 0)).all():
        raise ValueError(f"distance_m: has {distance.min()!r} as its smallest entry, valid are positive finite metres")
    if not (np.isfinite(carrier_hz) and carrier_hz > 0):
        raise ValueError(f"carrier_hz = {carrier_hz!r}: valid are positive finite hertz")
    return 32.4 + 20 * np.log10(carrier_hz / 1e9) + 20 * np.log10(distance)


def path_gain(distance_m: np.ndarray | float, carrier_hz: float) -> np.ndarray:
    """The mean linear channel power gain at a distance, 10^(-loss/10); arguments and errors as in `path_loss_db`."""
    return 10 ** (-path_loss_db(distance_m, carrier_hz) / 10)

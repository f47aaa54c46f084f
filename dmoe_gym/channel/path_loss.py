"""Log-distance path loss."""

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

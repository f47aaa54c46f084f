"""The system's output: what the selected experts answer, weighted by the gate."""

from __future__ import annotations

import numpy as np


def output_probabilities(log_weights: np.ndarray, log_answers: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """sum_k p_k Q_k over the selected experts, the weights renormalised over them.

    Args:
        log_weights: (N, K), the gate's log p; zeros weight experts equally.
        log_answers: (N, K, C), log Q_k.
        selected: (N, K) bool, at least one per row.

    Returns:
        (N, C) float64, rows sum to 1.
    """
    # relative to the largest selected one: a gate may give all its selected experts next to nothing
    largest = np.where(selected, log_weights, -np.inf).max(axis=1, keepdims=True)
    weights = np.where(selected, np.exp(np.minimum(log_weights - largest, 0)), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return (weights[..., None] * np.exp(log_answers)).sum(axis=1)

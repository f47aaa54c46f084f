"""One input on its way to the experts, as it truly is, and what choosing experts for it brings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dmoe_gym.gating.output import output_probabilities


@dataclass(frozen=True)
class GatingRound:
    """One input; K experts, D features, C classes.

    Attributes:
        features: (D,), what the server sends.
        snr: (K,) linear, the true ones.
        log_weights: (K,), log p of the frozen networks' own gate, which weights the selected experts' answers.
        log_answers: (K, C), what every expert would answer to what it hears.
        label: the right class.
        top_k: the most experts.
        reward: see `GatingSystemConfig`.
    """

    features: np.ndarray
    snr: np.ndarray
    log_weights: np.ndarray
    log_answers: np.ndarray
    label: int
    top_k: int
    reward: str


def outcome_terms(
    log_weights: np.ndarray,
    log_answers: np.ndarray,
    labels: np.ndarray,
    snr: np.ndarray,
    selected: np.ndarray,
    reward: str,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The terms, but for repairs, of N inputs and their selected experts, and the outputs (N, C).

    Shapes as in `GatingRound` with a leading N; `selected` is (N, K) bool. The SNR term is the selected experts' mean
    in dB, each clipped to -30 and 30.
    """
    output = output_probabilities(log_weights, log_answers, selected)
    accuracy = (output.argmax(axis=1) == labels).astype(float)
    # a probability of exactly 0 cannot be told from one below the smallest double
    right = np.maximum(output[np.arange(len(labels)), labels], np.finfo(float).tiny)
    cross_entropy = -np.log(right)
    snr_db = np.clip(10 * np.log10(np.maximum(snr, 1e-12)), -30, 30)
    count = selected.sum(axis=1)
    terms = {
        "cost": 1 - accuracy if reward == "correctness" else cross_entropy,
        "accuracy": accuracy,
        "cross_entropy_nat": cross_entropy,
        "selected_snr_db": np.where(selected, snr_db, 0).sum(axis=1) / count,
        "experts": count.astype(float),
    }
    return terms, output


def check_selection(round: GatingRound, selected: np.ndarray) -> list[str]:
    """The constraints that a selection (K,) bool violates, in words."""
    count = int(np.count_nonzero(selected))
    return [] if 1 <= count <= round.top_k else [f"{count} experts are selected, valid is 1 to {round.top_k}"]

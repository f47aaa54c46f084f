"""The bound of an input: it knows the label and what every expert would answer."""

from __future__ import annotations

from itertools import combinations
from types import MappingProxyType

import numpy as np

from dmoe_gym.gating.env.round import GatingRound, outcome_terms
from dmoe_gym.system import ExactBound


def oracle(round: GatingRound) -> dict[str, float]:
    """The terms of the selection of least cost, then of least cross-entropy: it knows label and answers."""
    experts = len(round.snr)
    chosen = [list(members) for size in range(1, round.top_k + 1) for members in combinations(range(experts), size)]
    selected = np.zeros((len(chosen), experts), bool)
    for row, members in enumerate(chosen):
        selected[row, members] = True
    many = len(chosen)
    terms, _ = outcome_terms(
        np.tile(round.log_weights, (many, 1)),
        np.tile(round.log_answers, (many, 1, 1)),
        np.full(many, round.label),
        np.tile(round.snr, (many, 1)),
        selected,
        round.reward,
    )
    best = np.lexsort((terms["cross_entropy_nat"], terms["cost"]))[0]
    return {name: float(values[best]) for name, values in terms.items()}


BOUNDS = MappingProxyType({"oracle": ExactBound(oracle)})

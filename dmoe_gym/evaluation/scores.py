"""What TensorBoard charts and tables show of a policy, relative to random and to the optimum."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dmoe_gym.evaluation.run import Row

# Means of rows that are charted as they are, under eval/.
CHARTED = (
    "cost",
    "energy_per_state_mJ",
    "latency_ms",
    "relevance",
    "shortfall",
    "accuracy",
    "cross_entropy_nat",
    "violations",
)


def charted_means(rows: Iterable[Row]) -> dict[str, float]:
    """Mean of every charted metric that the rows have."""
    rows = list(rows)
    return {key: float(np.mean([row[key] for row in rows])) for key in CHARTED if all(key in row for row in rows)}


def scores(cost: float, random_cost: float, optimal_cost: float) -> dict[str, float]:
    """gap_to_optimum = cost / optimal - 1; normalized_score = 0 for random and 1 for the exact optimum.

    Not a number or infinite where the optimum costs nothing or as much as random.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "gap_to_optimum": float(np.divide(cost, optimal_cost) - 1),
            "normalized_score": float(np.divide(random_cost - cost, random_cost - optimal_cost)),
        }

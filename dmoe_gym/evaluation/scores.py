"""What TensorBoard charts and tables show of a policy, relative to random and to the optimum."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dmoe_gym.evaluation.run import Row
from dmoe_gym.registration import system_of
from dmoe_gym.system import VIOLATIONS


def charted_means(rows: Iterable[Row]) -> dict[str, float]:
    """Mean of every charted metric that the rows, which are of one environment, have."""
    rows = list(rows)
    metrics = (*system_of(rows[0]["env_id"]).metrics, VIOLATIONS)
    names = [metric.name for metric in metrics if metric.charted and all(metric.name in row for row in rows)]
    return {name: float(np.mean([row[name] for row in rows])) for name in names}


def scores(cost: float, random_cost: float, optimal_cost: float) -> dict[str, float]:
    """gap_to_optimum = cost / optimal - 1; normalized_score = 0 for random and 1 for the exact optimum.

    Not a number or infinite where the optimum costs nothing or as much as random.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "gap_to_optimum": float(np.divide(cost, optimal_cost) - 1),
            "normalized_score": float(np.divide(random_cost - cost, random_cost - optimal_cost)),
        }

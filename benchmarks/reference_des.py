"""One hidden state's expert selection by HiGHS: what `solve_des` is measured against."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp


def des_highs(scores: np.ndarray, energies: np.ndarray, threshold: float, max_experts: int) -> np.ndarray:
    """(K,) bool: the cheapest experts that meet the attainable threshold, by SciPy's mixed-integer solver."""
    best = np.sort(scores)[-max_experts:].sum()
    result = milp(
        energies,
        integrality=np.ones(scores.size),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(scores[None], min(threshold, best) - 1e-9, np.inf),
            LinearConstraint(np.ones((1, scores.size)), 1, max_experts),
        ],
        options={"mip_rel_gap": 0.0},
    )
    if result.x is None:
        raise RuntimeError(f"HiGHS stopped without a solution: {result.message}")
    return result.x > 0.5

"""Pareto fronts: areas and dominance by hand, and what the exact ones must be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoe_gym.dmoe import solve_exact, terms
from dmoe_gym.dmoe.solvers.exact import solve_within
from experiments.fronts import front, hypervolume, rounds_of, worst

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=8)


def test_areas_by_hand():
    assert front([(2, 1), (1, 2), (2, 2), (1, 3)]) == [(1, 2), (2, 1)]
    assert hypervolume([(1, 2), (2, 1)], (3, 3)) == 2 + 1
    assert hypervolume([(1, 2)], (3, 3)) == 2
    assert hypervolume([(3, 0), (0, 3)], (3, 3)) == 0


@given(POINTS)
def test_the_area_is_what_points_dominate(points):
    """Unit squares counted one by one; more points never cover less."""
    corner = (6, 6)
    cells = sum(any(a <= i and b <= j for a, b in points) for i in range(6) for j in range(6))
    assert hypervolume(points, corner) == cells
    assert hypervolume(points[:-1], corner) <= cells
    assert worst(points) == tuple(np.max(points, axis=0))


def test_a_limit_gives_the_least_energy_under_it():
    """No limit is dearer than a narrower one; no weight's optimum is below the front; with none it is the optimum."""
    round = next(iter(rounds_of(1)))
    limits = (0.0, 0.03, 0.1, 0.3)
    energies = []
    for limit in limits:
        found = terms(round, solve_within(round, limit))
        assert found.shortfall <= limit + 1e-6
        energies.append(found.energy.total)
    assert energies == sorted(energies, reverse=True)
    for weight in (1.0, 2.0, 5.0, 100.0):
        priced = type(round)(
            round.gate_scores, round.gains, round.threshold, round.config.replace(shortfall_price=weight)
        )
        best = terms(priced, solve_exact(priced))
        least = terms(round, solve_within(round, best.shortfall + 1e-9)).energy.total
        assert least == pytest.approx(best.energy.total, rel=1e-6)
    with pytest.raises(ValueError, match="most_shortfall = -1"):
        solve_within(round, -1)

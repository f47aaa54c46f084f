"""DES by all pairs against the tree search, which the other tests hold against enumeration and HiGHS."""

from __future__ import annotations

import numpy as np
import pytest
from dmoe_builders import generators
from hypothesis import given, settings
from hypothesis import strategies as st

from dmoe_gym.dmoe.solvers.des import MOST_EXPERTS, search_pairs
from dmoe_gym.dmoe.solvers.des_kernel import FLOAT_ROWS, INT_ROWS, search


@settings(max_examples=300)
@given(generators(), st.integers(1, MOST_EXPERTS), st.floats(0, 1), st.floats(0, 0.6))
def test_pairs_find_what_the_search_finds(generator, experts, threshold, share_out_of_reach):
    scores, energies = generator.dirichlet(np.full(experts, 0.5)), generator.random(experts)
    energies[generator.random(experts) < share_out_of_reach] = np.inf
    selected = np.ones(experts, np.bool_)
    search_pairs(scores, energies, threshold, selected)
    expected = np.zeros(experts, np.bool_)
    floats, ints = np.empty((FLOAT_ROWS, experts)), np.empty((INT_ROWS, experts), np.int64)
    search(scores, energies, threshold, 2, np.inf, expected, floats, ints)
    assert energies[selected].sum() == pytest.approx(energies[expected].sum(), abs=1e-12)
    np.testing.assert_array_equal(selected, expected)


def test_nobody_in_reach_selects_nobody():
    selected = np.ones(3, np.bool_)
    search_pairs(np.full(3, 1 / 3), np.full(3, np.inf), 0.5, selected)
    assert not selected.any()

"""Batched draws are numpy's own numbers, whatever the way, the threads and the copies."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from dmoe_gym.compiled import draws
from dmoe_gym.compiled.draws import Generators, integers, standard_exponential, standard_gamma

ROWS = 70
SHAPES = (0.01, 1.0, 0.97, 1.7)


def generators() -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in range(ROWS)]


def mixture(batch, rows) -> list[np.ndarray]:
    """Every kind of draw in turn, so that each starts from the state that the one before left."""
    gains, scores = np.zeros((ROWS, 3, 3, 33), np.float32), np.zeros((ROWS, 3, 2, 7), np.float32)
    domains = np.zeros((ROWS, 5), np.int64)
    for high in (1, 2, 7, 1000):
        integers(batch, rows, high, domains)
        standard_exponential(batch, rows, gains)
        standard_gamma(batch, rows, 0.5, scores)
        for shape in SHAPES:
            standard_gamma(batch, rows, shape, scores[..., 0].copy())
    return [gains, scores, domains]


def methods(batch, rows) -> list[np.ndarray]:
    """The same with numpy's methods."""
    gains, scores = np.zeros((ROWS, 3, 3, 33), np.float32), np.zeros((ROWS, 3, 2, 7), np.float32)
    domains = np.zeros((ROWS, 5), np.int64)
    for high in (1, 2, 7, 1000):
        for row in rows:
            domains[row] = batch[row].integers(high, size=5)
            batch[row].standard_exponential(dtype=np.float32, out=gains[row])
            batch[row].standard_gamma(0.5, dtype=np.float32, out=scores[row])
            for shape in SHAPES:
                batch[row].standard_gamma(shape, size=(3, 2), dtype=np.float32)
    return [gains, scores, domains]


@pytest.mark.parametrize("rows", [range(ROWS), [4], [69, 0, 33]])
def test_draws_are_numpy_s(rows):
    for ours, numpys in zip(mixture(Generators(generators()), rows), methods(generators(), rows), strict=True):
        np.testing.assert_array_equal(ours, numpys)


@pytest.mark.parametrize("shape", [0.003, 0.07, 0.5, 0.99, 1.0, 4.0])
def test_long_series_of_gammas_are_numpy_s(shape):
    batch = Generators(generators())
    out = np.zeros((ROWS, 4000), np.float32)
    standard_gamma(batch, range(ROWS), shape, out)
    for ours, generator, numpys in zip(out, batch, generators(), strict=True):
        np.testing.assert_array_equal(ours, numpys.standard_gamma(shape, 4000, dtype=np.float32))
        assert generator.bit_generator.state == numpys.bit_generator.state


def test_numpy_exports_its_functions_here():
    assert draws.EXPORTED


def test_unknown_gammas_are_left_to_numpy(monkeypatch):
    monkeypatch.setattr(draws, "gammas_as_known", lambda: False)
    numpys = methods(generators(), range(ROWS))
    for ours, expected in zip(mixture(Generators(generators()), range(ROWS)), numpys, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_without_numpy_s_functions_draws_are_the_same(monkeypatch):
    expected = mixture(Generators(generators()), range(ROWS))
    monkeypatch.setattr(draws, "EXPORTED", False)
    for ours, slow in zip(expected, mixture(Generators(generators()), range(ROWS)), strict=True):
        np.testing.assert_array_equal(ours, slow)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_a_copy_goes_on_alone_from_where_the_original_was(duplicate):
    original = Generators(generators())
    mixture(original, range(ROWS))
    twin = duplicate(original)
    assert not set(twin.addresses) & set(original.addresses)
    for ours, twins in zip(mixture(original, range(ROWS)), mixture(twin, range(ROWS)), strict=True):
        np.testing.assert_array_equal(ours, twins)


def test_a_replaced_generator_is_drawn_from():
    batch = Generators(generators())
    batch[3] = np.random.default_rng(99)
    out = np.zeros((ROWS, 40), np.float32)
    standard_exponential(batch, range(ROWS), out)
    np.testing.assert_array_equal(out[3], np.random.default_rng(99).standard_exponential(40, dtype=np.float32))

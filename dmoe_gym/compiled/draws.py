"""Random numbers for whole batches: numpy's own C functions called from compiled loops, one generator per row.

The numbers are bit for bit those of `Generator.standard_exponential` and `Generator.standard_gamma` with 32-bit
output; only the way to them is shorter (no Python call per row, and threads over large batches; most variables
without a call at all, see `pcg64`). numpy documents these functions for use from other languages ("Extending"
in its reference of `numpy.random`). Where a build of numpy does not export them, the generators' methods are called row
by row.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

import numpy as np
from llvmlite import binding
from numba import prange, types
from numpy.random import _generator

from dmoe_gym.compiled.njit import njit_no_refcount, serial_or_parallel
from dmoe_gym.compiled.pcg64 import bit_generator_address, fill_likely, fill_likely_gammas, gammas_as_known, readable

_EXPONENTIALS, _GAMMA, _INTEGERS, _UNIFORMS = (
    "random_standard_exponential_fill_f",
    "random_standard_gamma_f",
    "random_bounded_uint64_fill",
    "random_standard_uniform_fill",
)


def _export(*names: str) -> bool:
    """Make numpy's functions known to compiled code under a prefix of this package's; False if one is missing."""
    library = ctypes.CDLL(_generator.__file__)
    exported = all(hasattr(library, name) for name in names)
    for name in names:
        # a missing one is never called (see `compiled`), but code that could call it must still link
        function = getattr(library, name) if exported else ctypes.pythonapi.Py_GetVersion
        binding.add_symbol(f"dmoe_gym_{name}", ctypes.cast(function, ctypes.c_void_p).value)
    return exported


EXPORTED = _export(_EXPONENTIALS, _GAMMA, _INTEGERS, _UNIFORMS)
# void (bitgen_t *, npy_intp count, float *out), float (bitgen_t *, float shape),
# void (bitgen_t *, uint64_t least, uint64_t range, npy_intp count, bool masked, uint64_t *out), and
# void (bitgen_t *, npy_intp count, double *out)
_fill_exponentials: Any = types.ExternalFunction(
    f"dmoe_gym_{_EXPONENTIALS}", types.void(types.uintp, types.intp, types.uintp)
)
next_gamma: Any = types.ExternalFunction(f"dmoe_gym_{_GAMMA}", types.float32(types.uintp, types.float32))
_fill_integers: Any = types.ExternalFunction(
    f"dmoe_gym_{_INTEGERS}",
    types.void(types.uintp, types.uint64, types.uint64, types.intp, types.uint8, types.uintp),
)
_fill_uniforms: Any = types.ExternalFunction(f"dmoe_gym_{_UNIFORMS}", types.void(types.uintp, types.intp, types.uintp))


class Generators(list[np.random.Generator]):
    """One generator per row, and where compiled code finds the state of each.

    Attributes:
        addresses: (rows,) of the generators' `bitgen_t`.
        readable: are all states such as `pcg64` steps?
    """

    def __init__(self, generators: Iterable[np.random.Generator]) -> None:
        super().__init__(generators)
        self.addresses = np.array([bit_generator_address(generator) for generator in self], np.uintp)
        self.readable = all(map(readable, self))

    def __setitem__(self, row: Any, generator: Any) -> None:
        super().__setitem__(row, generator)
        self.addresses[row] = bit_generator_address(generator)
        self.readable = self.readable and readable(generator)

    def __reduce__(self) -> tuple[Any, ...]:
        # a copied or unpickled list holds other generators, at other addresses
        return Generators, (list(self),)


def compiled(generators: Sequence[np.random.Generator]) -> TypeGuard[Generators]:
    """Can compiled code draw from these?"""
    return EXPORTED and isinstance(generators, Generators) and generators.readable


# Numbers that one thread draws in about the time that a round takes elsewhere.
EXPONENTIALS_PER_ROUND, GAMMAS_PER_ROUND = 4096, 512


def standard_exponential(
    generators: Sequence[np.random.Generator], rows: Sequence[int] | np.ndarray, out: np.ndarray
) -> None:
    """out[row] <- exponential variables of mean 1 from generators[row], for the given rows.

    Args:
        out: (batch, ...) float32, C-contiguous.
    """
    if compiled(generators):
        amount = len(rows) * out[0].size / EXPONENTIALS_PER_ROUND
        _exponentials(amount, generators.addresses, np.asarray(rows), out)
        return
    for row in rows:
        generators[row].standard_exponential(dtype=np.float32, out=out[row])


def standard_gamma(
    generators: Sequence[np.random.Generator], rows: Sequence[int] | np.ndarray, shape: float, out: np.ndarray
) -> None:
    """out[row] <- gamma variables of the given shape parameter and scale 1 from generators[row], for the given rows.

    Args:
        out: (batch, ...) float32, C-contiguous.
    """
    if compiled(generators):
        amount = len(rows) * out[0].size / GAMMAS_PER_ROUND
        known = gammas_as_known()
        _gammas(amount, generators.addresses, np.asarray(rows), np.float32(shape), known, out.reshape(len(out), -1))
        return
    for row in rows:
        generators[row].standard_gamma(shape, dtype=np.float32, out=out[row])


def integers(
    generators: Sequence[np.random.Generator], rows: Sequence[int] | np.ndarray, high: int, out: np.ndarray
) -> None:
    """out[row] <- uniform whole numbers in 0..high-1 from generators[row], for the given rows.

    Args:
        out: (batch, ...) int64, C-contiguous.
    """
    if compiled(generators):
        _integers(0, generators.addresses, np.asarray(rows), high, out)
        return
    for row in rows:
        out[row] = generators[row].integers(high, size=out.shape[1:])


def uniform(generators: Sequence[np.random.Generator], rows: Sequence[int] | np.ndarray, out: np.ndarray) -> None:
    """out[row] <- uniform variables in [0, 1) from generators[row], for the given rows.

    Args:
        out: (batch, ...) float64, C-contiguous.
    """
    if compiled(generators):
        _uniforms(0, generators.addresses, np.asarray(rows), out)
        return
    for row in rows:
        generators[row].random(out=out[row])


@njit_no_refcount
def fill_exponentials(address, out):
    """out <- exponential variables of mean 1 from the generator whose state is at the address; any shape, 32 bit."""
    flat = out.reshape(out.size)
    at = fill_likely(address, flat, 0)
    while at < flat.shape[0]:
        _fill_exponentials(address, 1, flat[at:].ctypes.data)
        at = fill_likely(address, flat, at + 1)


@njit_no_refcount
def fill_gammas(address, shape, known, out):
    """out <- gamma variables of scale 1 from the generator whose state is at the address; any shape of `out`, 32 bit.

    Args:
        shape: float32, of the distribution; known: are those of a shape below 1 known (`gammas_as_known`)?
    """
    flat = out.reshape(out.size)
    likely = known and 0 < shape < 1
    at = fill_likely_gammas(address, shape, flat, 0) if likely else 0
    while at < flat.shape[0]:
        flat[at] = next_gamma(address, shape)
        at = fill_likely_gammas(address, shape, flat, at + 1) if likely else at + 1


@njit_no_refcount
def fill_integers(address, high, out):
    """out <- uniform whole numbers in 0..high-1 from the generator whose state is at the address; any shape, int64."""
    _fill_integers(address, 0, high - 1, out.size, 0, out.ctypes.data)


@serial_or_parallel
def _exponentials(addresses, rows, out):
    for position in prange(rows.shape[0]):
        fill_exponentials(addresses[rows[position]], out[rows[position]])


@serial_or_parallel
def _gammas(addresses, rows, shape, known, out):
    for position in prange(rows.shape[0]):
        fill_gammas(addresses[rows[position]], shape, known, out[rows[position]])


@serial_or_parallel
def _integers(addresses, rows, high, out):
    for position in prange(rows.shape[0]):
        fill_integers(addresses[rows[position]], high, out[rows[position]])


@serial_or_parallel
def _uniforms(addresses, rows, out):
    for position in prange(rows.shape[0]):
        row = rows[position]
        _fill_uniforms(addresses[row], out[row].size, out[row].ctypes.data)

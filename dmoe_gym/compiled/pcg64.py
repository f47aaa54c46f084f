"""numpy's exponential and gamma variables with the generator PCG64 compiled into the loop: the same bits, sooner.

numpy's C function asks the generator for every number through a pointer. Here its state is stepped in registers
(O'Neill, "PCG: A family of simple fast space-efficient statistically good algorithms for random number generation",
2014: 128-bit linear congruential, output XSL-RR). The ziggurat (Marsaglia and Tsang, "The ziggurat method for
generating random variables", 2000) gives 98.9 % of the numbers at once. Of the others the tail, and what rounding could
decide otherwise, is left to numpy: the state goes back to where it was before the number, and numpy draws it.
Gamma variables of a shape below 1 are made of these (Best, "A note on gamma variate generators with shape parameter
less than unity", 1983), with the library's own power and logarithm.

Where the state lies is no public interface of numpy, nor are numba's tables one of numba: `readable` compares both.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import extending, types

from dmoe_gym.compiled.njit import njit_no_refcount

try:
    from numba.np.random._constants import fe_float, ke_float, we_float
except ImportError:  # then no generator is `readable`
    ke_float, we_float, fe_float = np.zeros(256, np.uint32), np.zeros(256, np.float32), np.zeros(256, np.float32)

# its stubs know functions by the arguments that they are compiled with, not by those of a call
_intrinsic: Any = extending.intrinsic

_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_LOW_HALF = np.uint64(0xFFFFFFFF)
_ONE, _HALF_BITS = np.uint64(1), np.uint64(32)
_ENTRY, _ENTRY_BITS = np.uint64(0xFF), np.uint64(8)
_UNIFORM_STEP = np.float32(1 / 16777216)
# Numbers that the density decides on are left to numpy where this much relative error could decide otherwise: numpy
# computes in 32 bit, with the library's exponential function.
UNSURE = 1e-5
# what one try of the ziggurat gave
LIKELY, REJECTED, LEFT = 0, 1, 2


def readable(generator: np.random.Generator) -> bool:
    """Can `fill_likely` draw from it?"""
    return type(generator.bit_generator) is np.random.PCG64 and _as_known()


@cache
def _as_known() -> bool:
    """Is PCG64's state where it is read here, and are the numbers numpy's? Not where nothing is compiled."""
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]  # numba sets its options at import
        return False
    generator = np.random.Generator(np.random.PCG64(0))
    generator.integers(1, dtype=np.uint32)
    told: Any = generator.bit_generator.state
    outer = _word(bit_generator_address(generator))
    inner = _word(outer)
    words = [_word(inner + 8 * word) for word in range(4)] + [_word(outer + 8)]
    state, increment, mask = told["state"]["state"], told["state"]["inc"], 2**64 - 1
    buffered = told["has_uint32"] | told["uinteger"] << 32
    if words != [state & mask, state >> 64, increment & mask, increment >> 64, buffered] or not we_float.any():
        return False
    return _are_numpys(fill_likely, "standard_exponential")


@cache
def gammas_as_known() -> bool:
    """Are `fill_likely_gammas`' numbers numpy's? Not where numpy's compiler contracts a product and a sum."""
    return _as_known() and all(
        _are_numpys(fill_likely_gammas, "standard_gamma", np.float32(shape)) for shape in (0.1, 0.5, 0.9)
    )


def _are_numpys(fill: Callable[..., int], method: str, *law: np.float32) -> bool:
    """Are the numbers of `fill(address, *law, out, at)` those of the generator's method, and the state afterwards?"""
    generator, twin = np.random.Generator(np.random.PCG64(0)), np.random.Generator(np.random.PCG64(0))
    address = bit_generator_address(generator)
    numpys = getattr(twin, method)(*law, size=1001, dtype=np.float32)
    ours = np.zeros_like(numpys)
    at = fill(address, *law, ours, 0)
    while at < len(ours):
        ours[at] = getattr(generator, method)(*law, dtype=np.float32)
        at = fill(address, *law, ours, at + 1)
    return np.array_equal(ours, numpys) and generator.bit_generator.state == twin.bit_generator.state


_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype = ctypes.c_void_p
_get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def bit_generator_address(generator: np.random.Generator) -> int:
    """Where its `bitgen_t` lies.

    That begins with the address of {address of {state, increment: 128 bit, low word first}, has_uint32: 32 bit,
    uinteger: 32 bit}.
    """
    address = _get_pointer(generator.bit_generator.capsule, b"BitGenerator")
    assert address is not None
    return address


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


@_intrinsic
def _load(typing_context, address):
    """The 64-bit word at an address."""

    def code(context, builder, signature, arguments):
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))

    return types.uint64(types.uintp), code


@_intrinsic
def _store(typing_context, address, word):
    """Write a 64-bit word at an address."""

    def code(context, builder, signature, arguments):
        builder.store(arguments[1], builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.uintp, types.uint64), code


@_intrinsic
def _step(typing_context, low, high, increment_low, increment_high):
    """PCG64's next state, low and high word, and its output."""
    word, wide = ir.IntType(64), ir.IntType(128)

    def code(context, builder, signature, arguments):
        def joined(low, high):
            shifted = builder.shl(builder.zext(high, wide), ir.Constant(wide, 64))
            return builder.or_(builder.zext(low, wide), shifted)

        state = builder.mul(joined(*arguments[:2]), ir.Constant(wide, _MULTIPLIER))
        state = builder.add(state, joined(*arguments[2:]))
        low = builder.trunc(state, word)
        high = builder.trunc(builder.lshr(state, ir.Constant(wide, 64)), word)
        mixed = builder.xor(low, high)
        turn = builder.lshr(high, ir.Constant(word, 58))
        back = builder.and_(builder.neg(turn), ir.Constant(word, 63))
        output = builder.or_(builder.lshr(mixed, turn), builder.shl(mixed, back))
        return context.make_tuple(builder, signature.return_type, (low, high, output))

    return types.UniTuple(types.uint64, 3)(low, high, increment_low, increment_high), code


@njit_no_refcount(forceinline=True)
def _load_state(address):
    """(low, high, full, half) and (increment_low, increment_high) of the generator whose `bitgen_t` is there."""
    outer = _load(address)
    inner = _load(outer)
    buffered = _load(outer + np.uint64(8))
    state = _load(inner), _load(inner + np.uint64(8)), (buffered & _LOW_HALF) != 0, buffered >> _HALF_BITS
    return state, (_load(inner + np.uint64(16)), _load(inner + np.uint64(24)))


@njit_no_refcount(forceinline=True)
def _store_state(address, state):
    """The inverse of `_load_state`; the increment never changes."""
    low, high, full, half = state
    outer = _load(address)
    inner = _load(outer)
    _store(inner, low)
    _store(inner + np.uint64(8), high)
    _store(outer + np.uint64(8), np.uint64(full) | half << _HALF_BITS)


@njit_no_refcount(forceinline=True)
def _take(state, increment):
    """The next state and a 32-bit number: each output of the generator gives two, its low half first."""
    low, high, full, half = state
    if full:
        return (low, high, False, half), half
    low, high, output = _step(low, high, *increment)
    return (low, high, True, output >> _HALF_BITS), output & _LOW_HALF


@njit_no_refcount(forceinline=True)
def _exponential(state, increment):
    """One try of the ziggurat: the state after it, an exponential variable, and whether that is one.

    LIKELY: it is; REJECTED: it is not, try again; LEFT: only numpy knows.
    """
    state, bits = _take(state, increment)
    entry = (bits >> _ONE) & _ENTRY
    bits = bits >> np.uint64(9)
    value = np.float32(np.int32(bits)) * we_float[entry]
    if np.uint32(bits) < ke_float[entry]:
        return state, value, LIKELY
    if entry == 0:
        return state, value, LEFT
    state, bits = _take(state, increment)
    share = np.float64(np.int32(bits >> np.uint64(8))) / 16777216.0
    above = np.float64(fe_float[entry])
    height = (np.float64(fe_float[entry - _ONE]) - above) * share + above
    density = np.exp(-np.float64(value))
    if abs(height - density) < UNSURE * density:
        return state, value, LEFT
    return state, value, LIKELY if height < density else REJECTED


@njit_no_refcount
def fill_likely(address, out, at):
    """out[at:] <- exponential variables of mean 1, until one is left to numpy; return where that was.

    The state is then before that number, which `random_standard_exponential_f` draws.

    Args:
        address: of the generator's `bitgen_t`.
        out: (n,) float32.
    """
    state, increment = _load_state(address)
    at, size = np.uint64(at), np.uint64(out.shape[0])
    while at < size:
        low, high, full, half = state
        # both numbers of an output of the generator, as long as both are likely
        while not full and at + _ONE < size:
            next_low, next_high, output = _step(low, high, *increment)
            first, second = (output & _LOW_HALF) >> _ONE, output >> np.uint64(33)
            entry, other = first & _ENTRY, second & _ENTRY
            first, second = first >> _ENTRY_BITS, second >> _ENTRY_BITS
            if (np.uint32(first) >= ke_float[entry]) | (np.uint32(second) >= ke_float[other]):
                break
            low, high, half = next_low, next_high, output >> _HALF_BITS
            out[at] = np.float32(np.int32(first)) * we_float[entry]
            out[at + _ONE] = np.float32(np.int32(second)) * we_float[other]
            at += np.uint64(2)
        state = low, high, full, half
        if at == size:
            break
        tried, value, verdict = _exponential(state, increment)
        if verdict == LEFT:
            break
        state = tried
        if verdict == LIKELY:
            out[at] = value
            at += _ONE
    _store_state(address, state)
    return np.int64(at)


@njit_no_refcount
def fill_likely_gammas(address, shape, out, at):
    """out[at:] <- gamma variables of scale 1, until one is left to numpy; return where that was.

    As `fill_likely`; `random_standard_gamma_f` draws what is left.

    Args:
        shape: float32, above 0 and below 1.
    """
    state, increment = _load_state(address)
    rest, power = np.float32(1) - shape, np.float32(1) / shape
    at, size = np.uint64(at), np.uint64(out.shape[0])
    while at < size:
        tried, bits = _take(state, increment)
        uniform = np.float32(np.int32(bits >> _ENTRY_BITS)) * _UNIFORM_STEP
        verdict = REJECTED
        while verdict == REJECTED:
            tried, limit, verdict = _exponential(tried, increment)
        if verdict == LEFT:
            break
        state = tried
        if uniform <= rest:
            value = uniform**power
        else:
            extra = -np.log((np.float32(1) - uniform) / shape)
            value = (rest + shape * extra) ** power
            limit += extra
        if value <= limit:
            out[at] = value
            at += _ONE
    _store_state(address, state)
    return np.int64(at)

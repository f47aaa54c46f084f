"""Spectral efficiency as the scheduler sees it: 32-bit log2(1 + SNR) ."""

from __future__ import annotations

import numpy as np

from dmoe_gym.compiled.njit import njit_no_refcount

_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_EXPONENT_ONE = np.int32(0x3F800000)
_MANTISSA = np.int32(0x007FFFFF)
# log2((1 + s) / (1 - s)) = 2 / ln 2 * (s + s^3/3 + s^5/5 + ...); |s| < 0.172, so five terms reach 32-bit precision
_C1, _C3, _C5, _C7, _C9 = (np.float32(2 / np.log(2) / power) for power in (1, 3, 5, 7, 9))


# numba widens 32-bit whole numbers unless told otherwise, which keeps the compiler from vector code, seven times faster
# here
_int32 = np.int32


@njit_no_refcount
def _write_flat(gains, snr, efficiency):
    """efficiency <- log2(1 + snr * gains), all 32-bit and one-dimensional.

    Plain arithmetic, which every machine rounds alike; the library's log2 is slower and differs between processors.
    """
    for index in range(efficiency.shape[0]):
        bits = np.float32(np.float32(1) + snr * gains[index]).view(np.int32)
        shifted = _int32(bits - _SQRT_HALF_BITS)
        exponent = np.float32(_int32(shifted >> _int32(23)))
        mantissa = _int32(_int32(shifted & _MANTISSA) + _SQRT_HALF_BITS).view(np.float32)
        s = (mantissa - np.float32(1)) / (mantissa + np.float32(1))
        square = s * s
        efficiency[index] = exponent + s * (_C1 + square * (_C3 + square * (_C5 + square * (_C7 + square * _C9))))


@njit_no_refcount
def write_efficiency(gains, snr, efficiency):
    """efficiency <- log2(1 + snr * gains) [bit/s/Hz] with a zero diagonal.

    Args:
        gains, efficiency: (K, K, M) float32, C-contiguous.
        snr: signal-to-noise ratio at gain 1, float32.
    """
    _write_flat(gains.reshape(gains.size), snr, efficiency.reshape(efficiency.size))
    for node in range(efficiency.shape[0]):
        for m in range(efficiency.shape[2]):
            efficiency[node, node, m] = 0

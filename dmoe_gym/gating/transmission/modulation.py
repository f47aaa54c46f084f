"""Exact bit error rates of Gray-mapped BPSK and QPSK over additive white Gaussian noise, coherent detection."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import erfc

Modulation = Literal["bpsk", "qpsk"]
BITS_PER_SYMBOL: dict[str, int] = {"bpsk": 1, "qpsk": 2}


def bit_error_rate(modulation: Modulation, snr: np.ndarray | float) -> np.ndarray:
    """Probability that one transmitted bit is detected wrongly.

    Source: any textbook, e.g. Proakis, Digital Communications: Q(sqrt(2 Eb/N0)) for both, with Es = Eb (BPSK) and
    Es = 2 Eb (QPSK); under Rayleigh fading the instantaneous SNR of the block is handed in.

    Args:
        modulation: "bpsk" or "qpsk".
        snr: linear SNR Es/N0 of a complex channel use, any shape, 0 to infinity.

    Returns:
        Same shape as `snr`, float64.
    """
    snr_per_bit = np.asarray(snr, float) / BITS_PER_SYMBOL[modulation]
    return 0.5 * erfc(np.sqrt(snr_per_bit))

"""Power delay profiles: the taps of a delay line, and the frequency correlation that is their Fourier transform."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

# Taps of an exponential profile below this share of the first one are left out
FAINTEST = 1e-9


@dataclass(frozen=True)
class Taps:
    """The taps of a power delay profile; arrays of one length.

    Attributes:
        delays_s: [s].
        powers: linear, of sum 1.
    """

    delays_s: np.ndarray
    powers: np.ndarray

    @property
    def delay_spread_s(self) -> float:
        """Root-mean-square delay spread [s]."""
        mean = (self.powers * self.delays_s).sum()
        return float(np.sqrt((self.powers * (self.delays_s - mean) ** 2).sum()))

    def frequency_correlation(self, offsets_hz: Any) -> np.ndarray:
        """E[H(f + offset) conj(H(f))] of the frequency response H: the Fourier transform of the profile.

        sum_l p_l exp(-j 2 pi offset tau_l) for independent taps; complex, of the shape of `offsets_hz`.
        """
        phases = 2 * np.pi * np.asarray(offsets_hz, float)[..., None] * self.delays_s
        return (np.exp(-1j * phases) * self.powers).sum(axis=-1)


def tr38901_taps(name: str, delay_spread_s: float) -> Taps:
    """TDL-A, TDL-B or TDL-C, scaled to a delay spread.

    Source: 3GPP TR 38.901, Tables 7.7.2-1 to 7.7.2-3 (in `tr38901_tdl.json`) and the scaling of section 7.7.3.
    """
    profile = _tables()[name]
    powers = 10 ** (np.array(profile["powers_db"]) / 10)
    return Taps(np.array(profile["delays"]) * delay_spread_s, powers / powers.sum())


def exponential_taps(delay_spread_s: float, subcarriers: int, spacing_hz: float) -> Taps:
    """Taps of powers p_l proportional to q^l at the delays l / (2 M spacing), at most 2 M of them.

    The grid is that of a Fourier transform over 2 M points, twice the band, so that the two ends of the band are
    no neighbours. q = s^2 with s = (sqrt(1 + 4 r^2) - 1) / (2 r), r = delay spread / tap distance, gives exactly the
    root-mean-square delay spread asked for (of the profile without an end). What lies beyond 2 M taps, later than
    1 / spacing, has the same phase at every subcarrier as the tap 2 M earlier and is folded onto it, which only
    scales all taps: the correlation over subcarriers is that of the profile without an end,
    (1 - q) / (1 - q exp(-j pi m / M)) over m subcarriers.

    This is a profile of its own, with the delay spread asked for, and no sampled continuous one. The continuous
    exponential profile has 1 / (1 + j 2 pi m spacing delay_spread); for r >= 1 the two differ by at most 0.6 / r. In
    the scenario `selective` r is 1, the taps stand as far apart as the delay spread is long, and they differ by up to
    0.44 at the band's other end, mostly in phase: their magnitudes, which gains depend on, by up to 0.12.

    Source: this project's choice.
    """
    distance_s = 1 / (2 * subcarriers * spacing_hz)
    ratio = delay_spread_s / distance_s
    ratio_of_powers = 0.0 if ratio < 1e-6 else ((np.sqrt(1 + 4 * ratio**2) - 1) / (2 * ratio)) ** 2
    powers = ratio_of_powers ** np.arange(2 * subcarriers)
    powers = powers[powers > FAINTEST]
    return Taps(np.arange(len(powers)) * distance_s, powers / powers.sum())


@cache
def _tables() -> dict[str, dict[str, list[float]]]:
    text = files("dmoe_gym.channel").joinpath("tr38901_tdl.json").read_text(encoding="utf-8")
    return json.loads(text)["profiles"]

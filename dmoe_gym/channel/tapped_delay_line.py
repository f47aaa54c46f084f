"""Frequency-correlated fading: a tapped delay line seen at the subcarriers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, SerializeAsAny
from scipy.fft import fft

from dmoe_gym.channel.amplitude import AmplitudeProcess, EvolutionConfig, ScatteredConfig
from dmoe_gym.channel.fading import RayleighConfig
from dmoe_gym.config import read_as, register

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


@register
class TappedDelayLineConfig(ScatteredConfig):
    """A tapped delay line with Rayleigh taps, all of the same evolution over rounds, and mean gain 1.

    Attributes:
        profile: "exponential", or "TDL-A", "TDL-B", "TDL-C" of 3GPP TR 38.901, Tables 7.7.2-1 to 7.7.2-3.
        delay_spread_s: root-mean-square delay spread [s] (assumed 100 ns).
        subcarrier_spacing_hz: distance of neighbouring subcarriers [Hz] (assumed 1 MHz, DMoE's default bandwidth of
            a subcarrier).
        evolution: how a tap's complex amplitude evolves over rounds: independent ("rayleigh"), Gauss-Markov, Jakes.
    """

    kind: Literal["tapped_delay_line"] = "tapped_delay_line"
    profile: Literal["exponential", "TDL-A", "TDL-B", "TDL-C"] = "exponential"
    delay_spread_s: Annotated[float, Field(ge=0, le=1e3)] = 1e-7
    subcarrier_spacing_hz: Annotated[float, Field(ge=1e-3, le=1e12)] = 1e6
    evolution: Annotated[SerializeAsAny[EvolutionConfig], read_as(EvolutionConfig)] = RayleighConfig()

    def taps(self, subcarriers: int) -> Taps:
        """The taps; those of the exponential profile lie on a grid that depends on the number of subcarriers."""
        if self.profile == "exponential":
            return exponential_taps(self.delay_spread_s, subcarriers, self.subcarrier_spacing_hz)
        return tr38901_taps(self.profile, self.delay_spread_s)

    def numbers(self, links: int, subcarriers: int) -> int:
        taps = 2 * subcarriers if self.profile == "exponential" else len(self.taps(subcarriers).powers)
        dense = 0 if self.profile == "exponential" else 8 * taps * subcarriers
        return self.evolution.numbers(links, taps) + 8 * links * (subcarriers + taps) + dense

    def lag_correlation(self, rounds: int) -> float:
        return self.evolution.lag_correlation(rounds)

    def build_amplitude(self, batch: int, links: tuple[int, int], subcarriers: int) -> TappedDelayLineChannel:
        taps = self.taps(subcarriers)
        process = self.evolution.amplitude_process(batch, links, len(taps.powers))
        if self.profile == "exponential":
            return UniformTapsChannel(process, taps, subcarriers, self.subcarrier_spacing_hz)
        return TappedDelayLineChannel(process, taps, subcarriers, self.subcarrier_spacing_hz)


class TappedDelayLineChannel(AmplitudeProcess):
    """H[m] = sum_l sqrt(p_l) a_l exp(-j 2 pi m spacing tau_l) at the taps' exact delays; gains = |H|^2.

    Args:
        process: the taps' complex amplitudes a_l of unit power, taps on the last axis.
    """

    def __init__(self, process: AmplitudeProcess, taps: Taps, subcarriers: int, spacing_hz: float) -> None:
        batch, sources, destinations, _ = process.gains.shape
        super().__init__(batch, (sources, destinations), subcarriers)
        self._process = process
        self._prepare(taps, subcarriers, spacing_hz)

    def start_amplitude(self, row: int, generator: np.random.Generator) -> None:
        self._process.start_amplitude(row, generator)
        self._transform(row)

    def advance_amplitude(self, row: int, generator: np.random.Generator) -> None:
        self._process.advance_amplitude(row, generator)
        self._transform(row)

    def _prepare(self, taps: Taps, subcarriers: int, spacing_hz: float) -> None:
        phases = 2 * np.pi * spacing_hz * np.outer(taps.delays_s, np.arange(subcarriers))
        factor = np.sqrt(taps.powers)[:, None] * np.exp(-1j * phases)
        # (real or imaginary part in, part out, tap, subcarrier)
        self._factor = np.array([[factor.real, factor.imag], [-factor.imag, factor.real]], np.float32)

    def _transform(self, row: int) -> None:
        # einsum and not matmul: its sums do not depend on the number of BLAS threads
        np.einsum("cijl,cplm->pijm", self._process.amplitude[row], self._factor, out=self.amplitude[row])


class UniformTapsChannel(TappedDelayLineChannel):
    """The same for taps at the delays l / (2 M spacing), l < 2 M, by a fast Fourier transform over 2 M points."""

    def _prepare(self, taps: Taps, subcarriers: int, spacing_hz: float) -> None:
        self._scale = np.sqrt(taps.powers).astype(np.float32)

    def _transform(self, row: int) -> None:
        real, imaginary = self._process.amplitude[row] * self._scale
        subcarriers = self.gains.shape[-1]
        response = fft(real + np.complex64(1j) * imaginary, n=2 * subcarriers, axis=-1)[..., :subcarriers]
        self.amplitude[row, 0] = response.real
        self.amplitude[row, 1] = response.imag

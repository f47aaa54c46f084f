"""Frequency-correlated fading: a tapped delay line seen at the subcarriers."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, SerializeAsAny
from scipy.fft import fft

from dmoe_gym.channel.amplitude import AmplitudeProcess, EvolutionConfig, ScatteredConfig
from dmoe_gym.channel.power_delay_profile import Taps, exponential_taps, tr38901_taps
from dmoe_gym.channel.rayleigh import RayleighConfig
from dmoe_gym.components import read_as, register


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
        """Correlation of the complex amplitude with itself `rounds` rounds later."""
        return self.evolution.lag_correlation(rounds)

    def build_amplitude(self, batch: int, links: tuple[int, int], subcarriers: int) -> TappedDelayLineChannel:
        """The process for `batch` environments."""
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

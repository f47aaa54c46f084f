"""Small-scale fading: Rayleigh and Rician, independent in time, Gauss-Markov or with Jakes' spectrum."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, SerializeAsAny, model_validator
from scipy.special import j0, jv

from dmoe_gym.channel.amplitude import AmplitudeProcess, EvolutionConfig, ScatteredConfig
from dmoe_gym.channel.process import ChannelProcess, FadingLaw, GainLaw, SmallScaleConfig
from dmoe_gym.compiled.draws import standard_exponential
from dmoe_gym.config import read_as, register
from dmoe_gym.process import Generators, Rows


@register
class RayleighConfig(EvolutionConfig):
    """Independent Rayleigh block fading; it has no parameters."""

    kind: Literal["rayleigh"] = "rayleigh"

    def build(self, batch: int, links: tuple[int, int], subcarriers: int) -> RayleighChannel:
        return RayleighChannel(batch, links, subcarriers)

    def build_amplitude(self, batch: int, links: tuple[int, int], subcarriers: int) -> RayleighAmplitude:
        """The same law with its complex amplitude, for processes that are built on it; other random numbers."""
        return RayleighAmplitude(batch, links, subcarriers)

    def lag_correlation(self, rounds: int) -> float:
        """Correlation of the complex amplitude with itself `rounds` rounds later: block fading forgets at once."""
        return float(rounds == 0)


class RayleighChannel(ChannelProcess):
    """Power gains |h|^2 with h circular complex normal: exponential of mean 1."""

    def start(self, rows: Rows, generators: Generators) -> None:
        standard_exponential(generators, rows, self.gains)

    advance = start


class RayleighAmplitude(AmplitudeProcess):
    """h circular complex normal of unit power, a new one in every round."""

    def start_amplitude(self, row: int, generator: np.random.Generator) -> None:
        amplitude = self.amplitude[row]
        generator.standard_normal(dtype=np.float32, out=amplitude)
        # real and imaginary part each carry half the power
        amplitude *= np.float32(np.sqrt(0.5))

    advance_amplitude = start_amplitude


@register
class RicianConfig(SmallScaleConfig):
    """Rician fading with mean gain 1.

    Attributes:
        k_factor: power of the line of sight over the scattered power, linear (assumed 4, which is 6 dB).
        scattered: the process of the scattered part; independent block fading, Gauss-Markov, Jakes or a tapped
            delay line.
    """

    kind: Literal["rician"] = "rician"
    k_factor: Annotated[float, Field(ge=0, le=1e9)] = 4.0
    scattered: Annotated[SerializeAsAny[ScatteredConfig], read_as(ScatteredConfig)] = RayleighConfig()

    def numbers(self, links: int, subcarriers: int) -> int:
        return self.scattered.numbers(links, subcarriers) + 4 * links * subcarriers

    def lag_correlation(self, rounds: int) -> float:
        """Correlation of the scattered amplitude with itself `rounds` rounds later; the line of sight is constant."""
        return self.scattered.lag_correlation(rounds)

    def law(self, lag_rounds: int, error_variance: float) -> GainLaw | None:
        independent = self.scattered.independent
        return FadingLaw(self.lag_correlation(lag_rounds), error_variance, self.k_factor, independent=independent)

    def build(self, batch: int, links: tuple[int, int], subcarriers: int) -> RicianChannel:
        return RicianChannel(self.scattered.amplitude_process(batch, links, subcarriers), self.k_factor)


class RicianChannel(AmplitudeProcess):
    """h = sqrt(K / (K + 1)) + sqrt(1 / (K + 1)) s, with s the scattered amplitude of unit power.

    The line of sight arrives first, undelayed and with a constant phase (its own Doppler shift is left out). As s is
    circular the value of that phase has no influence on the gains and is taken as 0.
    """

    def __init__(self, scattered: AmplitudeProcess, k_factor: float) -> None:
        batch, sources, destinations, subcarriers = scattered.gains.shape
        super().__init__(batch, (sources, destinations), subcarriers)
        self._scattered = scattered
        self._line_of_sight = np.float32(np.sqrt(k_factor / (k_factor + 1)))
        self._scale = np.float32(np.sqrt(1 / (k_factor + 1)))

    def start_amplitude(self, row: int, generator: np.random.Generator) -> None:
        self._scattered.start_amplitude(row, generator)
        self._add(row)

    def advance_amplitude(self, row: int, generator: np.random.Generator) -> None:
        self._scattered.advance_amplitude(row, generator)
        self._add(row)

    def _add(self, row: int) -> None:
        amplitude = self.amplitude[row]
        np.multiply(self._scattered.amplitude[row], self._scale, out=amplitude)
        amplitude[0] += self._line_of_sight


@register
class GaussMarkovConfig(EvolutionConfig):
    """Gauss-Markov fading with the correlation of Clarke's model between successive rounds.

    Only the lag of one round follows Clarke's J0; over d rounds the correlation is rho^d (Jakes fading has J0 at
    every lag). With a line of sight: `RicianConfig(scattered=GaussMarkovConfig(...))`; correlated over subcarriers:
    `TappedDelayLineConfig(evolution=GaussMarkovConfig(...))`.

    Attributes:
        doppler_hz: maximum Doppler frequency f_D [Hz] (assumed 10 Hz: about 3 km/h at 3.5 GHz).
        round_duration_s: time T between rounds [s] (assumed 10 ms).
    """

    kind: Literal["gauss_markov"] = "gauss_markov"
    doppler_hz: Annotated[float, Field(ge=0, le=1e6)] = 10.0
    round_duration_s: Annotated[float, Field(ge=1e-9, le=1e6)] = 0.01

    @property
    def correlation(self) -> float:
        """rho = J0(2 pi f_D T), the correlation of the complex amplitude between successive rounds."""
        return self.lag_correlation(1)

    def lag_correlation(self, rounds: int) -> float:
        """Correlation of the complex amplitude with itself `rounds` rounds later: rho^rounds."""
        return float(j0(2 * np.pi * self.doppler_hz * self.round_duration_s)) ** rounds

    def build_amplitude(self, batch: int, links: tuple[int, int], subcarriers: int) -> GaussMarkovChannel:
        return GaussMarkovChannel(batch, links, subcarriers, self.correlation)


class GaussMarkovChannel(AmplitudeProcess):
    """h[l+1] = rho h[l] + sqrt(1 - rho^2) w, with h and w circular complex normal of unit power; gains = |h|^2."""

    def __init__(self, batch: int, links: tuple[int, int], subcarriers: int, correlation: float) -> None:
        super().__init__(batch, links, subcarriers)
        self.correlation = correlation
        self._noise = np.zeros((2, *links, subcarriers), np.float32)
        self._keep = np.float32(correlation)
        # real and imaginary part each carry half the power
        self._renew = np.float32(np.sqrt((1 - correlation**2) / 2))

    def start_amplitude(self, row: int, generator: np.random.Generator) -> None:
        amplitude = self.amplitude[row]
        generator.standard_normal(dtype=np.float32, out=amplitude)
        amplitude *= np.float32(np.sqrt(0.5))

    def advance_amplitude(self, row: int, generator: np.random.Generator) -> None:
        amplitude = self.amplitude[row]
        generator.standard_normal(dtype=np.float32, out=self._noise)
        amplitude *= self._keep
        self._noise *= self._renew
        amplitude += self._noise


TOLERANCE = 1e-6
MOST_SINUSOIDS = 512


@register
class JakesConfig(EvolutionConfig):
    """Jakes fading: a stationary Gaussian amplitude with the U-shaped Doppler spectrum of isotropic scattering.

    Source: Clarke, "A Statistical Theory of Mobile-Radio Reception", Bell System Technical Journal, 1968, for the
    autocorrelation; the generator is this project's choice (see `JakesChannel`).

    Attributes:
        doppler_hz: maximum Doppler frequency f_D [Hz] (assumed 10 Hz: about 3 km/h at 3.5 GHz).
        round_duration_s: time T between rounds [s] (assumed 10 ms).
        rounds: longest lag [rounds] at which the autocorrelation is J0 to within 1e-6 (assumed 64); longer episodes
            go on as a Gaussian process whose far lags differ from J0.
    """

    kind: Literal["jakes"] = "jakes"
    doppler_hz: Annotated[float, Field(ge=0, le=1e6)] = 10.0
    round_duration_s: Annotated[float, Field(ge=1e-9, le=1e6)] = 0.01
    rounds: Annotated[int, Field(ge=1, le=65_536)] = 64

    @model_validator(mode="after")
    def _few_enough_sinusoids(self) -> Self:
        phase = self._phase_per_round * self.rounds
        if phase > 2 * MOST_SINUSOIDS - 100:
            raise ValueError(
                f"2 pi doppler_hz round_duration_s rounds = {phase:.0f}: valid is at most {2 * MOST_SINUSOIDS - 100} "
                "(lower doppler_hz, round_duration_s or rounds; fading this fast is independent from round to round)"
            )
        return self

    @property
    def _phase_per_round(self) -> float:
        """2 pi f_D T, the largest phase advance of a sinusoid in one round [rad]."""
        return 2 * np.pi * self.doppler_hz * self.round_duration_s

    @property
    def sinusoids(self) -> int:
        """Number S of sinusoids: the fewest whose error 2 |J_2S(x)| is within 1e-6 up to lag `rounds`."""
        phase = self._phase_per_round * self.rounds
        # J_2S(x) grows with x up to about x = 2S, so the longest lag is the worst one
        sinusoids = int(phase / 2) + 1
        while 2 * abs(jv(2 * sinusoids, phase)) > TOLERANCE:
            sinusoids += 1
        return sinusoids

    def numbers(self, links: int, subcarriers: int) -> int:
        return (2 * self.sinusoids + 4) * links * subcarriers

    def lag_correlation(self, rounds: int) -> float:
        """Correlation of the complex amplitude with itself `rounds` rounds later: J0(2 pi f_D T rounds)."""
        return float(j0(self._phase_per_round * rounds))

    def build_amplitude(self, batch: int, links: tuple[int, int], subcarriers: int) -> JakesChannel:
        return JakesChannel(batch, links, subcarriers, self._phase_per_round, self.sinusoids)


class JakesChannel(AmplitudeProcess):
    """h[l] = S^(-1/2) sum_s a_s exp(j l 2 pi f_D T cos alpha_s), alpha_s = pi (s - 1/2) / S, a_s complex normal.

    The amplitudes a_s are independent circular complex normal of unit power, so h is a Gaussian process for any
    number of sinusoids (with random phases alone it would be so only in the limit). Its autocorrelation is the
    midpoint rule for J0(x) = (1/pi) int_0^pi cos(x cos alpha) d alpha, whose error is 2 |J_2S(x)| to first order
    (Jacobi-Anger). All random numbers of an episode are drawn at its start.
    """

    def __init__(
        self, batch: int, links: tuple[int, int], subcarriers: int, phase_per_round: float, sinusoids: int
    ) -> None:
        super().__init__(batch, links, subcarriers)
        angles = np.pi * (np.arange(sinusoids) + 0.5) / sinusoids
        self._frequencies = phase_per_round * np.cos(angles)
        self._sources = np.zeros((batch, 2, sinusoids, *links, subcarriers), np.float32)
        self._rounds = np.zeros(batch, np.int64)

    def start_amplitude(self, row: int, generator: np.random.Generator) -> None:
        generator.standard_normal(dtype=np.float32, out=self._sources[row])
        self._rounds[row] = 0
        self._sum(row)

    def advance_amplitude(self, row: int, generator: np.random.Generator) -> None:
        self._rounds[row] += 1
        self._sum(row)

    def _sum(self, row: int) -> None:
        phases = self._frequencies * self._rounds[row]
        # real and imaginary part of a_s each carry half the power
        scale = np.sqrt(0.5 / len(phases))
        cosine, sine = scale * np.cos(phases), scale * np.sin(phases)
        rotation = np.array([[cosine, -sine], [sine, cosine]], np.float32)
        # einsum and not matmul: its sums do not depend on the number of BLAS threads
        np.einsum("pcs,cs...->p...", rotation, self._sources[row], out=self.amplitude[row])

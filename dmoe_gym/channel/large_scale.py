"""Path loss, shadowing and mobility around any small-scale fading."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, SerializeAsAny, model_validator

from dmoe_gym.channel.fading import RayleighConfig
from dmoe_gym.channel.mobility import Mobility, MobilityConfig, StaticConfig
from dmoe_gym.channel.process import ChannelConfig, ChannelProcess, FadingLaw, GainLaw, SmallScaleConfig
from dmoe_gym.config import read_as, register
from dmoe_gym.process import Generators, Rows


def pairwise_distances(positions: np.ndarray) -> np.ndarray:
    """Distances of all nodes, (nodes, nodes) [m], of `positions` (nodes, 2) [m]."""
    difference = positions[:, None] - positions[None]
    return np.hypot(difference[..., 0], difference[..., 1])


def log_distance_gain(
    distances_m: np.ndarray, exponent: float, reference_distance_m: float, minimum_distance_m: float
) -> np.ndarray:
    """Linear gain (d / d_reference)^(-exponent), 1 at the reference distance; d at least `minimum_distance_m`.

    Source: the log-distance model of the textbooks, e.g. Rappaport, "Wireless Communications", 2nd ed., 4.9.1.
    """
    return (np.maximum(distances_m, minimum_distance_m) / reference_distance_m) ** -exponent


def path_loss_db(distance_m: np.ndarray | float, carrier_hz: float) -> np.ndarray:
    """32.4 + 20 log10(f / GHz) + 20 log10(d / m) [dB]: free space (docs/channels.md).

    Args:
        distance_m: distances, any shape [m], positive.
        carrier_hz: carrier frequency [Hz], positive.

    Raises:
        ValueError: for a distance or a carrier that is not positive and finite.
    """
    distance = np.asarray(distance_m, np.float64)
    if not (np.isfinite(distance) & (distance > 0)).all():
        raise ValueError(f"distance_m: has {distance.min()!r} as its smallest entry, valid are positive finite metres")
    if not (np.isfinite(carrier_hz) and carrier_hz > 0):
        raise ValueError(f"carrier_hz = {carrier_hz!r}: valid are positive finite hertz")
    return 32.4 + 20 * np.log10(carrier_hz / 1e9) + 20 * np.log10(distance)


def path_gain(distance_m: np.ndarray | float, carrier_hz: float) -> np.ndarray:
    """The mean linear channel power gain at a distance, 10^(-loss/10); arguments and errors as in `path_loss_db`."""
    return 10 ** (-path_loss_db(distance_m, carrier_hz) / 10)


WAVES = 128


class ShadowingField:
    """A random field over pairs of places, fixed for an episode: a node that comes back finds its shadowing again.

    Between two moments in which one end of a link has moved by d1 and the other by d2 the correlation is
    exp(-(d1 + d2) / d_decorrelation): Gudmundson's exponential model (Electronics Letters, 1991) for each end, the
    two ends acting independently and equally, as the abstract of Wang, Tameh and Nix, "Joint Shadowing Process in
    Urban Peer-to-Peer Radio Channels" (IEEE Transactions on Vehicular Technology, 2008), reports for links whose ends
    both move. Links that share a node are correlated likewise where their other nodes are close.

    The field is a sum of plane waves S(x, y) = W^(-1/2) sum_w a_w cos(k_w x + q_w y) + b_w sin(k_w x + q_w y) with
    normal a_w, b_w and bivariate Cauchy wave vectors k_w, q_w, the law whose characteristic function is
    exp(-|x| / d_decorrelation); a link's value is (S(x_i, x_j) + S(x_j, x_i)) / sqrt(2 (1 + e_ij^2)) with
    e_ij = exp(-|x_i - x_j| / d_decorrelation), hence the same in both directions. Over episodes

        correlation of link ij with link kl = (e_ik e_jl + e_il e_jk) / sqrt((1 + e_ij^2) (1 + e_kl^2))

    exactly; the values are normal up to terms of the order 1 / W, W = 128 (this project's choice of generator).
    """

    def __init__(self, batch: int, decorrelation_distance_m: float) -> None:
        self._decorrelation_distance_m = decorrelation_distance_m
        # (environment, end of the link, coordinate, wave)
        self._wave_vectors = np.zeros((batch, 2, 2, WAVES))
        self._coefficients = np.zeros((batch, WAVES), complex)

    def start(self, row: int, generator: np.random.Generator) -> None:
        """Draw the field of a new episode."""
        normal = generator.standard_normal((8, WAVES))
        scale = np.abs(normal[4:6, None]) * self._decorrelation_distance_m
        self._wave_vectors[row] = normal[:4].reshape(2, 2, WAVES) / scale
        self._coefficients[row] = (normal[6] - 1j * normal[7]) / np.sqrt(WAVES)

    def values(self, row: int, positions: np.ndarray) -> np.ndarray:
        """The field on all links of nodes at `positions` (nodes, 2) [m]: (nodes, nodes), symmetric, unit variance."""
        wave_vectors = self._wave_vectors[row]
        # the phase at the link's one end and at its other end, (2, nodes, waves)
        phases = positions[:, 0, None] * wave_vectors[:, None, 0] + positions[:, 1, None] * wave_vectors[:, None, 1]
        first, second = np.exp(1j * phases)
        field = np.einsum("iw,jw->ij", first * self._coefficients[row], second).real
        closeness = np.exp(-pairwise_distances(positions) / self._decorrelation_distance_m)
        return (field + field.T) / np.sqrt(2 * (1 + closeness**2))


FAINTEST_MEAN, STRONGEST_MEAN = 1e-6, 1e6


@register
class LargeScaleConfig(ChannelConfig):
    """Nodes in a square: gain = path loss * shadowing * small-scale gain.

    Gain 1 is the mean over shadowing and fading of a link at the reference distance; local means stay within 60 dB of
    it (this project's choice: what radios and 32-bit numbers bear). The default numbers of exponent,
    shadowing and decorrelation distance are those of 3GPP TR 38.901 for the line of sight in an urban street canyon
    (UMi; Tables 7.4.1-1 and 7.5-6).

    Attributes:
        small_scale: the fading on every link.
        mobility: where the nodes are.
        area_m: side of the square [m] (assumed 100 m).
        path_loss_exponent: gain falls with distance^(-exponent).
        reference_distance_m: where the mean gain is 1 [m] (assumed 50 m; the mean distance in a 100 m square is 52 m).
        minimum_distance_m: path loss stops falling below it [m] (assumed 1 m).
        shadowing_std_db: standard deviation of the log-normal shadowing [dB], 0 for none.
        decorrelation_distance_m: distance in which its correlation falls to 1/e [m].
    """

    between_nodes: ClassVar[bool] = True

    kind: Literal["large_scale"] = "large_scale"
    small_scale: Annotated[SerializeAsAny[SmallScaleConfig], read_as(SmallScaleConfig)] = RayleighConfig()
    mobility: Annotated[SerializeAsAny[MobilityConfig], read_as(MobilityConfig)] = StaticConfig()
    area_m: Annotated[float, Field(ge=1e-3, le=1e6)] = 100.0
    path_loss_exponent: Annotated[float, Field(ge=0, le=10)] = 2.1
    reference_distance_m: Annotated[float, Field(ge=1e-3, le=1e6)] = 50.0
    minimum_distance_m: Annotated[float, Field(ge=1e-3, le=1e6)] = 1.0
    shadowing_std_db: Annotated[float, Field(ge=0, le=30)] = 4.0
    decorrelation_distance_m: Annotated[float, Field(ge=1e-3, le=1e9)] = 10.0

    @model_validator(mode="after")
    def _one_round_duration(self) -> Self:
        durations = {"mobility": getattr(self.mobility, "round_duration_s", None)}
        part: Any = self.small_scale
        while part is not None:
            durations["small_scale"] = getattr(part, "round_duration_s", None)
            part = getattr(part, "scattered", None) or getattr(part, "evolution", None)
        if None not in durations.values() and len(set(durations.values())) > 1:
            raise ValueError(
                f"round_duration_s = {durations['small_scale']} in small_scale and {durations['mobility']} in "
                "mobility: valid is the same duration in both"
            )
        return self

    def numbers(self, links: int, subcarriers: int) -> int:
        # sums of plane waves take the most: a complex number per link and wave while they are formed
        return self.small_scale.numbers(links, subcarriers) + links * (subcarriers + 20) + 10_000

    def law(self, lag_rounds: int, error_variance: float) -> GainLaw | None:
        """The small-scale fading's, with local means that must be estimated; None where it has another form."""
        law = self.small_scale.law(lag_rounds, error_variance)
        return replace(law, known_means=False) if isinstance(law, FadingLaw) else None

    def build(self, batch: int, links: tuple[int, int], subcarriers: int) -> LargeScaleChannel:
        """The process for `batch` environments.

        Raises:
            ValueError: if sources and destinations are not the same nodes.
        """
        if links[0] != links[1]:
            raise ValueError(f"links = {links}: valid for kind 'large_scale' is one set of nodes, as (K, K)")
        small_scale = self.small_scale.process(batch, links, subcarriers)
        return LargeScaleChannel(self, small_scale, self.mobility.build(batch, links[0], self.area_m))


class LargeScaleChannel(ChannelProcess):
    """A small-scale process whose gains are scaled by path loss and shadowing, equal in both directions of a link.

    `mean_gains` is their product, 1 on the diagonal, which no radio uses. The small-scale process draws its random
    numbers first, in every round.
    """

    def __init__(self, config: LargeScaleConfig, small_scale: ChannelProcess, mobility: Mobility) -> None:
        batch, nodes, _, subcarriers = small_scale.gains.shape
        super().__init__(batch, (nodes, nodes), subcarriers)
        self.mean_gains = np.ones((batch, nodes, nodes, 1), np.float32)
        self._config = config
        self._small_scale = small_scale
        self._mobility = mobility
        self._shadowing = ShadowingField(batch, config.decorrelation_distance_m)
        self._nepers_per_std = config.shadowing_std_db * np.log(10) / 10

    @property
    def positions(self) -> np.ndarray:
        """Positions of the nodes, (batch, nodes, 2) [m]; a copy."""
        return self._mobility.positions.copy()

    def start(self, rows: Rows, generators: Generators) -> None:
        self._small_scale.start(rows, generators)
        for row in rows:
            self._mobility.start(row, generators[row])
            if self._nepers_per_std:
                self._shadowing.start(row, generators[row])
            self._locate(row)
            self._write_gains(row)

    def advance(self, rows: Rows, generators: Generators) -> None:
        self._small_scale.advance(rows, generators)
        for row in rows:
            if self._mobility.moves:
                self._mobility.advance(row, generators[row])
                self._locate(row)
            self._write_gains(row)

    def _locate(self, row: int) -> None:
        """The local mean gains at the nodes' present positions."""
        config, positions = self._config, self._mobility.positions[row]
        distances = pairwise_distances(positions)
        gains = log_distance_gain(
            distances, config.path_loss_exponent, config.reference_distance_m, config.minimum_distance_m
        )
        if self._nepers_per_std:
            # exp(s x - s^2 / 2) has mean 1 for standard normal x
            gains *= np.exp(self._nepers_per_std * self._shadowing.values(row, positions) - self._nepers_per_std**2 / 2)
        np.clip(gains, FAINTEST_MEAN, STRONGEST_MEAN, out=gains)
        np.fill_diagonal(gains, 1)
        self.mean_gains[row, :, :, 0] = gains

    def _write_gains(self, row: int) -> None:
        np.multiply(self._small_scale.gains[row], self.mean_gains[row], out=self.gains[row])

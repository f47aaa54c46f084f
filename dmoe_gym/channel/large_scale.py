"""Path loss, shadowing and mobility around any small-scale fading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, SerializeAsAny, model_validator

from dmoe_gym.channel.law import FadingLaw, GainLaw
from dmoe_gym.channel.mobility import Mobility, MobilityConfig, StaticConfig
from dmoe_gym.channel.path_loss import log_distance_gain, pairwise_distances
from dmoe_gym.channel.process import ChannelConfig, ChannelProcess, SmallScaleConfig
from dmoe_gym.channel.rayleigh import RayleighConfig
from dmoe_gym.channel.shadowing import ShadowingField
from dmoe_gym.components import read_as, register

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

    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        self._small_scale.start(rows, generators)
        for row in rows:
            self._mobility.start(row, generators[row])
            if self._nepers_per_std:
                self._shadowing.start(row, generators[row])
            self._locate(row)
            self._write_gains(row)

    def advance(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
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

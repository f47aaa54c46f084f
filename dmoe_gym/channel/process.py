"""The interface of every channel: link gains over rounds, batched over environments, and their configuration.

An own channel is two classes: a `ChannelProcess` that draws gains, and a `ChannelConfig` that builds it
(`docs/guides/extending.md`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dmoe_gym.channel.prediction import conditional_mean_gain, outage_probability
from dmoe_gym.config import Component, checked_rows, is_foreign
from dmoe_gym.process import CheckedProcess, RandomProcess, Rows

# local means are estimated from observed gains, which may all be zero
LEAST_MEAN = 1e-12


class GainLaw(ABC):
    """The law of the present gains given the observed ones; all that a scheduler needs who predicts."""

    @abstractmethod
    def mean_gain(self, observed: np.ndarray) -> np.ndarray:
        """E[gain now | observed gains] of links (..., subcarriers), linear, of the same shape."""


@dataclass(frozen=True)
class FadingLaw(GainLaw):
    """A constant line of sight, or none, beside a circular complex normal amplitude: `channel.prediction`.

    Attributes:
        correlation: of the scattered complex amplitude between the observation and now.
        error_variance: of the observed estimate, see `CSIConfig`.
        k_factor: power of the line of sight over the scattered power.
        known_means: is every link's local mean gain 1? If not it is estimated as the mean over its subcarriers.
        independent: are the gains independent over links and subcarriers?
    """

    correlation: float
    error_variance: float = 0.0
    k_factor: float = 0.0
    known_means: bool = True
    independent: bool = True

    @property
    def has_line_of_sight(self) -> bool:
        """Is there a constant part? Closed forms for compiled code hold without one."""
        return self.k_factor > 0

    def local_mean(self, observed: np.ndarray) -> Any:
        """The local mean gain of every link, (..., 1), or 1 where it is known."""
        if self.known_means:
            return 1.0
        return np.maximum(observed.mean(-1, keepdims=True) / (1 - self.error_variance), LEAST_MEAN)

    def mean_gain(self, observed: np.ndarray) -> np.ndarray:
        return conditional_mean_gain(
            observed,
            correlation=self.correlation,
            error_variance=self.error_variance,
            k_factor=self.k_factor,
            mean_gain=self.local_mean(observed),
        )

    def outage_probability(self, observed: np.ndarray, target: Any, snr: Any) -> np.ndarray:
        """P(log2(1 + snr * gain) < target | observed gains (..., subcarriers)); see `prediction`."""
        return outage_probability(
            observed,
            target,
            snr=snr,
            correlation=self.correlation,
            error_variance=self.error_variance,
            k_factor=self.k_factor,
            mean_gain=self.local_mean(observed),
        )


# Gains stay below, so that 100 dB of mean SNR are at most 60 bit/s/Hz.
LARGEST_GAIN = 1e8


class ChannelProcess(RandomProcess):
    """Linear channel power gains of all links, one value per subcarrier and round.

    The random numbers of an environment come from its own generator and their count never depends on anything
    but the shapes and the configuration, so that an episode is the same whatever the batch it runs in and whatever
    is done in it. Mean gain 1 is the mean link.

    Attributes:
        gains: (batch, sources, destinations, subcarriers) float32, linear power gain of the current round; owned by
            the process and overwritten by `start` and `advance`.
        mean_gains: (batch, 1, 1, 1) or (batch, sources, destinations, 1) float32, the local mean of `gains`: path
            loss and shadowing without the fading. All 1 unless the process has a large-scale part.
    """

    def __init__(self, batch: int, links: tuple[int, int], subcarriers: int) -> None:
        self.gains = np.zeros((batch, *links, subcarriers), np.float32)
        self.mean_gains = np.ones((batch, 1, 1, 1), np.float32)

    def obstacles(self, row: int) -> dict[str, np.ndarray]:
        """Which links of one environment are blocked, and with what chance, by the fields of a `Round`; none here."""
        return {}


class ChannelConfig(Component):
    """What a channel is: builds its process, and says what is known of its law.

    Attributes:
        between_nodes: are sources and destinations the same nodes? Such a channel has no links of one base station.
    """

    between_nodes: ClassVar[bool] = False

    @abstractmethod
    def build(self, batch: int, links: tuple[int, int], subcarriers: int) -> ChannelProcess:
        """The process for `batch` environments with (sources, destinations) links."""

    def law(self, lag_rounds: int, error_variance: float) -> GainLaw | None:
        """The law of the present gains given an estimate of them that is `lag_rounds` old; None if it is not known.

        Where it is None the schedulers and bounds that need it are not in the line-up.

        Args:
            error_variance: of the estimate, see `CSIConfig`.
        """
        return None

    def numbers(self, links: int, subcarriers: int) -> int:
        """About how many 32-bit numbers the process of one environment keeps, for bounds of memory."""
        return 4 * links * subcarriers

    def process(self, batch: int, links: tuple[int, int], subcarriers: int) -> ChannelProcess:
        """The process as systems use it: an own one is checked whenever it moves.

        Raises:
            ValueError: naming the channel, if `build` returns no process or one of other shapes.
        """
        built = self.build(batch, links, subcarriers)
        return CheckedChannel(self, built, batch, links, subcarriers) if is_foreign(self) else built


class SmallScaleConfig(ChannelConfig):
    """Fading without path loss and shadowing: every link's gain has the mean 1 at all times."""


class CheckedChannel(CheckedProcess, ChannelProcess):
    """A process from outside of the package, whose gains are checked and copied whenever it moves.

    Raises:
        ValueError: naming the channel and what is wrong with its gains: their shape, or an entry that is negative,
            above `LARGEST_GAIN` or no number.
    """

    def __init__(
        self, config: ChannelConfig, process: ChannelProcess, batch: int, links: tuple[int, int], subcarriers: int
    ) -> None:
        super().__init__(batch, links, subcarriers)
        self._wrap("channel", config, process, ChannelProcess)
        valid = (self.mean_gains.shape, (batch, *links, 1))
        given = np.shape(process.mean_gains)
        if given not in valid:
            raise ValueError(f"{self._name}: mean_gains have shape {given}, valid are {valid[0]} or {valid[1]}")
        self.mean_gains = np.ones(given, np.float32)

    def _copy(self, rows: Rows) -> None:
        for name in ("gains", "mean_gains"):
            kept = getattr(self, name)
            given = getattr(self._process, name)
            kept[rows] = checked_rows(f"{self._name}: {name}", given, kept.shape, rows, LARGEST_GAIN)

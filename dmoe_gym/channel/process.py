"""The interface of every channel: link gains over rounds, batched over environments, and their configuration.

An own channel is two classes: a `ChannelProcess` that draws gains, and a `ChannelConfig` that builds it
(`docs/guides/extending.md`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from dmoe_gym.channel.law import GainLaw
from dmoe_gym.components import Component, is_foreign
from dmoe_gym.validation import checked_rows, in_words

# Gains stay below, so that 100 dB of mean SNR are at most 60 bit/s/Hz.
LARGEST_GAIN = 1e8


class ChannelProcess(ABC):
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

    @abstractmethod
    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        """Draw the first round of a new episode for the environments in `rows`; generators[row] belongs to row."""

    @abstractmethod
    def advance(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        """Move the environments in `rows` one round on."""


class ChannelConfig(Component):
    """What a channel is: builds its process, and says what is known of its law."""

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


class CheckedChannel(ChannelProcess):
    """A process from outside of the package, whose gains are checked and copied whenever it moves.

    Raises:
        ValueError: naming the channel and what is wrong with its gains: their shape, or an entry that is negative,
            above `LARGEST_GAIN` or no number.
    """

    def __init__(
        self, config: ChannelConfig, process: ChannelProcess, batch: int, links: tuple[int, int], subcarriers: int
    ) -> None:
        super().__init__(batch, links, subcarriers)
        if not isinstance(process, ChannelProcess):
            given = in_words(process)
            raise ValueError(f"channel: {type(config).__name__}.build returned {given}, valid is a ChannelProcess")
        self._name = f"channel: {type(config).__name__}"
        self._process = process
        valid = (self.mean_gains.shape, (batch, *links, 1))
        given = np.shape(process.mean_gains)
        if given not in valid:
            raise ValueError(f"{self._name}: mean_gains have shape {given}, valid are {valid[0]} or {valid[1]}")
        self.mean_gains = np.ones(given, np.float32)

    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        self._process.start(rows, generators)
        self._copy(rows)

    def advance(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        self._process.advance(rows, generators)
        self._copy(rows)

    def _copy(self, rows: Sequence[int] | np.ndarray) -> None:
        for name in ("gains", "mean_gains"):
            kept = getattr(self, name)
            given = getattr(self._process, name)
            kept[rows] = checked_rows(f"{self._name}: {name}", given, kept.shape, rows, LARGEST_GAIN)

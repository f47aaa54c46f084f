"""Channel state information: what a scheduler sees of the channel. Perfect, delayed, estimated with error, or both."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

import numpy as np
from pydantic import Field

from dmoe_gym.channel.process import LARGEST_GAIN, ChannelConfig, ChannelProcess, GainLaw
from dmoe_gym.config import Component, checked_rows, is_foreign
from dmoe_gym.process import CheckedProcess, Generators, RandomProcess, Rows


class ChannelKnowledge(RandomProcess):
    """What is seen of a channel's gains, batched over environments.

    Systems call `start` and `advance` right after the process' own, with the same arguments. Random numbers come from
    a child of the environment's generator (`Generator.spawn`), so that the channel's own stay what they are.

    Attributes:
        process: the true channel.
        observed_gains: (batch, sources, destinations, subcarriers) float32, the gains as the scheduler sees them;
            owned by the knowledge and overwritten by `start` and `advance`.
    """

    def __init__(self, process: ChannelProcess) -> None:
        self.process = process
        self.observed_gains = np.zeros_like(process.gains)


class KnowledgeConfig(Component):
    """What the scheduler knows of the gains: builds its `ChannelKnowledge`."""

    @abstractmethod
    def build(self, process: ChannelProcess) -> ChannelKnowledge:
        """The knowledge of `process`, for all its environments."""

    @property
    def is_perfect(self) -> bool:
        """Are the observed gains the true ones?"""
        return False

    def numbers(self, gains: int) -> int:
        """About how many 32-bit numbers the knowledge of one environment keeps of so many gains."""
        return 4 * gains

    def law(self, channel: ChannelConfig, rounds_passed: int) -> GainLaw | None:
        """The law of the present gains given the observed ones; None if it is not known.

        Args:
            rounds_passed: rounds of the episode before this one, 0 in the first.
        """
        return None

    def knowledge(self, process: ChannelProcess) -> ChannelKnowledge:
        """The knowledge as systems use it: an own one is checked whenever it sees.

        Raises:
            ValueError: naming the knowledge, if `build` returns none or one of other shapes.
        """
        built = self.build(process)
        return CheckedKnowledge(self, built, process) if is_foreign(self) else built


class CSIConfig(KnowledgeConfig):
    """Perfect knowledge, or a delayed estimate, or one with errors, or both.

    Attributes:
        delay_rounds: the scheduler sees the estimate of so many rounds ago; before as many rounds have passed it
            sees round 0's.
        error_variance: mean squared error of the complex amplitude's estimate over the local mean gain, in [0, 0.999];
            0 is exact, and an estimate from a pilot at signal-to-noise ratio s has 1 / (1 + s).
    """

    delay_rounds: Annotated[int, Field(ge=0, le=65_536)] = 0
    error_variance: Annotated[float, Field(ge=0, le=0.999)] = 0.0

    def build(self, process: ChannelProcess) -> ChannelKnowledge:
        if self.is_perfect:
            return PerfectKnowledge(process)
        return ImperfectKnowledge(process, self.delay_rounds, self.error_variance)

    def numbers(self, gains: int) -> int:
        return (self.delay_rounds + 4) * gains

    @property
    def is_perfect(self) -> bool:
        return self.delay_rounds == 0 and self.error_variance == 0

    def law(self, channel: ChannelConfig, rounds_passed: int) -> GainLaw | None:
        """The channel's own, of the lag that there is."""
        return channel.law(min(self.delay_rounds, rounds_passed), self.error_variance)


class PerfectKnowledge(ChannelKnowledge):
    """Perfect knowledge, which costs nothing: the observed gains are the process' own array."""

    def __init__(self, process: ChannelProcess) -> None:
        self.process = process
        self.observed_gains = process.gains

    def start(self, rows: Rows, generators: Generators) -> None:
        pass

    def advance(self, rows: Rows, generators: Generators) -> None:
        pass


class ImperfectKnowledge(ChannelKnowledge):
    """Delayed and noisy knowledge.

    The estimate is the linear minimum-mean-square-error one from a pilot y = h + n of h = sqrt(gain): with the local
    mean gain g and n circular complex normal of variance g v / (1 - v), h_hat = (1 - v) y, of mean squared error g v,
    uncorrelated with h_hat (independent of it where h is complex normal). Observed is |h_hat|^2, of mean g (1 - v):
    for a Rayleigh channel the mean of the true gain is |h_hat|^2 + g v (see `prediction`). Errors are independent over
    links, subcarriers and rounds. As n is circular and independent over rounds, the phase of h has no influence on
    the law of |h_hat|^2, so the gains are all that is needed of any process.

    The errors come from a child of the environment's generator, spawned at the start of an episode (numpy's
    `Generator.spawn`), and take nothing from the generator's own stream: the channel's trajectories are the same
    under every configuration of the knowledge.

    Source: this project's choice of the textbook model (Kay, "Estimation Theory", 1993, chapter 12).

    Raises:
        TypeError: from `start`, with an error variance, if a generator has no seed sequence to spawn from.
    """

    def __init__(self, process: ChannelProcess, delay_rounds: int, error_variance: float) -> None:
        super().__init__(process)
        batch, *shape = process.gains.shape
        self._delay = delay_rounds
        self._error_variance = error_variance
        self._history = np.zeros((batch, delay_rounds, *shape), np.float32)
        # where in an environment's history the oldest estimate is
        self._oldest = [0] * batch
        self._estimate = np.zeros(shape, np.float32)
        self._noise = np.zeros((2, *shape), np.float32)
        self._errors: list[np.random.Generator | None] = [None] * batch

    def start(self, rows: Rows, generators: Generators) -> None:
        for row in rows:
            if self._error_variance:
                (self._errors[row],) = generators[row].spawn(1)
            estimate = self._estimated(row)
            self._history[row] = estimate
            self.observed_gains[row] = estimate

    def advance(self, rows: Rows, generators: Generators) -> None:
        for row in rows:
            estimate = self._estimated(row)
            if self._delay:
                oldest = self._history[row, self._oldest[row]]
                self.observed_gains[row] = oldest
                oldest[...] = estimate
                self._oldest[row] = (self._oldest[row] + 1) % self._delay
            else:
                self.observed_gains[row] = estimate

    def _estimated(self, row: int) -> np.ndarray:
        """|h_hat|^2 of the present round; owned by this object."""
        gains, variance = self.process.gains[row], self._error_variance
        generator = self._errors[row]
        if not variance or generator is None:
            return gains
        generator.standard_normal(dtype=np.float32, out=self._noise)
        # (1 - v) n has variance g v (1 - v), half of it in the real and half in the imaginary part
        self._noise *= np.sqrt(np.float32(variance * (1 - variance) / 2) * self.process.mean_gains[row])
        real, imaginary = self._noise
        np.sqrt(gains, out=self._estimate)
        self._estimate *= np.float32(1 - variance)
        self._estimate += real
        np.square(self._estimate, out=self._estimate)
        np.square(imaginary, out=imaginary)
        self._estimate += imaginary
        return self._estimate


class CheckedKnowledge(CheckedProcess, ChannelKnowledge):
    """Knowledge from outside of the package, whose gains are checked and copied whenever it sees.

    Raises:
        ValueError: naming the knowledge and what is wrong with its gains: their shape, or an entry that is negative or
            no finite number.
    """

    def __init__(self, config: KnowledgeConfig, knowledge: ChannelKnowledge, process: ChannelProcess) -> None:
        super().__init__(process)
        self._wrap("csi", config, knowledge, ChannelKnowledge)

    def _copy(self, rows: Rows) -> None:
        name, gains, kept = f"{self._name}: observed_gains", self._process.observed_gains, self.observed_gains
        kept[rows] = checked_rows(name, gains, kept.shape, rows, LARGEST_GAIN)

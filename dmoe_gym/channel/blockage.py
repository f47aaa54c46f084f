"""Blockage: links fall into deep fades that last, around any small-scale fading."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, SerializeAsAny, model_validator

from dmoe_gym.channel.fading import GaussMarkovConfig
from dmoe_gym.channel.process import ChannelConfig, ChannelProcess, SmallScaleConfig
from dmoe_gym.compiled.draws import uniform
from dmoe_gym.config import read_as, register
from dmoe_gym.process import Generators, Rows

Rounds = Annotated[float, Field(ge=1, le=1e6)]


@register
class BlockageConfig(ChannelConfig):
    """Every link is clear or blocked, a two-state Markov chain of its own whose rates nobody is told.

    The mean lengths of a link's stays are drawn at an episode's start, log-uniform in the two ranges; with a = 1 /
    clear and b = 1 / blocked the share of rounds that it is blocked is a / (a + b), and the correlation of two rounds d
    apart is (1 - a - b)^d. A chain begins in its stationary law. A blocked link's gains are `depth_db` lower. The two
    directions of a pair are blocked independently of each other.

    Attributes:
        small_scale: the fading on every link; the default stands still, and what moves are those who stand in the way.
        depth_db: attenuation of a blocked link [dB].
        clear_rounds, blocked_rounds: least and largest mean length of a link's stays [rounds].
    """

    kind: Literal["blockage"] = "blockage"
    small_scale: Annotated[SerializeAsAny[SmallScaleConfig], read_as(SmallScaleConfig)] = GaussMarkovConfig(
        doppler_hz=0
    )
    depth_db: Annotated[float, Field(ge=1, le=60)] = 20.0
    clear_rounds: tuple[Rounds, Rounds] = (4.0, 64.0)
    blocked_rounds: tuple[Rounds, Rounds] = (2.0, 32.0)

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name in ("clear_rounds", "blocked_rounds"):
            least, largest = getattr(self, name)
            if least > largest:
                raise ValueError(f"{name} = {(least, largest)}: valid are two numbers of which the second is not less")
        return self

    @property
    def depth(self) -> float:
        """The same as a factor on gains."""
        return float(10 ** (-self.depth_db / 10))

    def numbers(self, links: int, subcarriers: int) -> int:
        return self.small_scale.numbers(links, subcarriers) + links * (subcarriers + 16)

    def build(self, batch: int, links: tuple[int, int], subcarriers: int) -> BlockageChannel:
        return BlockageChannel(self, self.small_scale.process(batch, links, subcarriers))


class BlockageChannel(ChannelProcess):
    """A small-scale process behind obstacles; it draws its random numbers first, in every round.

    Attributes:
        blocked: (batch, sources, destinations) bool, now.
        rates: (batch, 2, sources, destinations), probabilities to leave the clear and the blocked state.
        chance: (batch, sources, destinations), probability to be blocked now given the rates and the round before.
    """

    def __init__(self, config: BlockageConfig, small_scale: ChannelProcess) -> None:
        batch, *links, subcarriers = small_scale.gains.shape
        super().__init__(batch, (links[0], links[1]), subcarriers)
        self.mean_gains = np.ones((batch, *links, 1), np.float32)
        self.small_scale = small_scale
        self.blocked = np.zeros((batch, *links), np.bool_)
        self.rates = np.ones((batch, 2, *links))
        self.chance = np.zeros((batch, *links))
        self._depth = np.float32(config.depth)
        self._least = np.log(np.array([config.clear_rounds, config.blocked_rounds])).reshape(2, 2, 1, 1)
        self._drawn = np.zeros((batch, 3, *links))

    def start(self, rows: Rows, generators: Generators) -> None:
        self.small_scale.start(rows, generators)
        rows = np.asarray(rows)
        uniform(generators, rows, self._drawn)
        low, high = self._least[:, 0], self._least[:, 1]
        self.rates[rows] = np.exp(-(low + (high - low) * self._drawn[rows, :2]))
        self.chance[rows] = self.rates[rows, 0] / self.rates[rows].sum(1)
        self._settle(rows, self._drawn[:, 2])

    def advance(self, rows: Rows, generators: Generators) -> None:
        self.small_scale.advance(rows, generators)
        rows = np.asarray(rows)
        one = np.empty(self.blocked.shape)
        uniform(generators, rows, one)
        self.chance[rows] = np.where(self.blocked[rows], 1 - self.rates[rows, 1], self.rates[rows, 0])
        self._settle(rows, one)

    def obstacles(self, row: int) -> dict[str, np.ndarray]:
        return {"blocked": self.blocked[row].copy(), "blocked_chance": self.chance[row].copy()}

    def _settle(self, rows: np.ndarray, drawn: np.ndarray) -> None:
        """Who is blocked, and what that leaves of the gains."""
        self.blocked[rows] = drawn[rows] < self.chance[rows]
        self.mean_gains[rows] = np.where(self.blocked[rows], self._depth, np.float32(1))[..., None]
        self.gains[rows] = self.small_scale.gains[rows] * self.mean_gains[rows]

"""Energy that nodes harvest: an open component, and the package's own, sun and shade (this project's choice)."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, SerializeAsAny, model_validator

from dmoe_gym.config import Component, checked_rows, is_foreign, read_as, register
from dmoe_gym.process import CheckedProcess, Generators, RandomProcess, Rows

# More than any battery holds.
LARGEST_J = 1e12


class HarvestProcess(RandomProcess):
    """What arrives at every node; an environment draws as many numbers whatever is done.

    Attributes:
        arrived: (batch, nodes) float64, energy that arrived at the present round's beginning [J]; owned by the process.
    """

    def __init__(self, batch: int, nodes: int) -> None:
        self.arrived = np.zeros((batch, nodes))


class HarvestConfig(Component):
    """What arrives at batteries: builds its process, and says what is known of its law.

    Attributes:
        start_share: of the full battery, at an episode's start, before the first arrivals.
    """

    start_share: Annotated[float, Field(ge=0, le=1)] = 0.6

    @abstractmethod
    def build(self, batch: int, nodes: int) -> HarvestProcess:
        """The process for `batch` environments."""

    @property
    def known_mean_j(self) -> float | None:
        """Mean energy that arrives per node and round [J]; None if nobody knows it, and `expected_arrivals` neither."""
        return None

    def expected_arrivals(self, now: np.ndarray, rounds: np.ndarray) -> np.ndarray:
        """What is expected to arrive in the next `rounds` rounds altogether [J], given what arrived now [J].

        Here as if rounds were independent.
        """
        return (self.known_mean_j or 0.0) * rounds + 0 * now

    def process(self, batch: int, nodes: int) -> HarvestProcess:
        """The process as systems use it: an own one is checked whenever it moves.

        Raises:
            ValueError: naming the harvest, if `build` returns no process or one of other shapes.
        """
        built = self.build(batch, nodes)
        return CheckedHarvest(self, built, batch, nodes) if is_foreign(self) else built


class CheckedHarvest(CheckedProcess, HarvestProcess):
    """A process from outside of the package, whose arrivals are checked and copied whenever it moves.

    Raises:
        ValueError: naming the harvest and what is wrong: its shape, or an arrival that is negative or no finite number.
    """

    def __init__(self, config: HarvestConfig, process: HarvestProcess, batch: int, nodes: int) -> None:
        super().__init__(batch, nodes)
        self._wrap("harvest", config, process, HarvestProcess)

    def _copy(self, rows: Rows) -> None:
        kept = self.arrived
        kept[rows] = checked_rows(f"{self._name}: arrived", self._process.arrived, kept.shape, rows, LARGEST_J)


@register
class SunConfig(HarvestConfig):
    """Every node is in the sun or in the shade, a two-state Markov chain of its own; energy arrives in the sun alone.

    A chain begins in its stationary law. With a and b the probabilities to leave shade and sun, the share of rounds in
    the sun is a / (a + b), and the correlation of two rounds d apart is (1 - a - b)^d.

    Attributes:
        mean_j: mean energy that arrives per node and round [J].
        sun_share: share of rounds in the sun.
        mean_sun_rounds: mean length of a stay in the sun [rounds]; at least sun_share / (1 - sun_share), for a stay in
            the shade lasts a round at least.
    """

    kind: Literal["sun"] = "sun"
    mean_j: Annotated[float, Field(ge=1e-12, le=1e12)] = 0.0014
    sun_share: Annotated[float, Field(ge=1e-6, le=1 - 1e-6)] = 0.4
    mean_sun_rounds: Annotated[float, Field(ge=1, le=1e6)] = 8.0

    @model_validator(mode="after")
    def _shade_lasts(self) -> Self:
        least = self.sun_share / (1 - self.sun_share)
        if self.mean_sun_rounds < least:
            raise ValueError(
                f"mean_sun_rounds = {self.mean_sun_rounds}: valid with sun_share = {self.sun_share} are at least "
                f"sun_share / (1 - sun_share) = {least:.6g}"
            )
        return self

    @property
    def leaves_sun(self) -> float:
        """Probability to be in the shade in the round after one in the sun."""
        return 1 / self.mean_sun_rounds

    @property
    def leaves_shade(self) -> float:
        """Probability to be in the sun in the round after one in the shade."""
        return self.leaves_sun * self.sun_share / (1 - self.sun_share)

    @property
    def correlation(self) -> float:
        """Of successive rounds."""
        return 1 - self.leaves_sun - self.leaves_shade

    @property
    def known_mean_j(self) -> float:
        return self.mean_j

    @property
    def sun_j(self) -> float:
        """Energy that arrives in a round in the sun [J]."""
        return self.mean_j / self.sun_share

    def expected_arrivals(self, now: np.ndarray, rounds: np.ndarray) -> np.ndarray:
        """What is expected to arrive in the next `rounds` rounds altogether [J], given what arrived now [J].

        m rounds + (now - m) rho (1 - rho^rounds) / (1 - rho), with m the mean: the chain forgets geometrically.
        """
        rho = self.correlation
        ahead = rho * (1 - rho**rounds) / (1 - rho)
        return self.mean_j * rounds + (now - self.mean_j) * ahead

    def build(self, batch: int, nodes: int) -> Sun:
        return Sun(batch, nodes, self)


class Sun(HarvestProcess):
    """Every node's chain."""

    def __init__(self, batch: int, nodes: int, config: SunConfig) -> None:
        super().__init__(batch, nodes)
        self.config = config

    def start(self, rows: Rows, generators: Generators) -> None:
        for row in rows:
            sunny = generators[row].random(self.arrived.shape[1]) < self.config.sun_share
            self.arrived[row] = np.where(sunny, self.config.sun_j, 0.0)

    def advance(self, rows: Rows, generators: Generators) -> None:
        stays, comes = 1 - self.config.leaves_sun, self.config.leaves_shade
        for row in rows:
            sunny = generators[row].random(self.arrived.shape[1]) < np.where(self.arrived[row] > 0, stays, comes)
            self.arrived[row] = np.where(sunny, self.config.sun_j, 0.0)


# the field of a system's configuration
HarvestField = Annotated[SerializeAsAny[HarvestConfig], read_as(HarvestConfig, default=SunConfig)]

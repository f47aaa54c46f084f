"""Energy that nodes harvest: sun and shade as nodes move, a process with memory (this project's choice)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from dmoe_gym.config import StrictConfig
from dmoe_gym.process import Generators, Rows


class HarvestConfig(StrictConfig):
    """Every node is in the sun or in the shade, a two-state Markov chain of its own; energy arrives in the sun alone.

    A chain begins in its stationary law. With a and b the probabilities to leave shade and sun, the share of rounds in
    the sun is a / (a + b), and the correlation of two rounds d apart is (1 - a - b)^d.

    Attributes:
        mean_j: mean energy that arrives per node and round [J].
        sun_share: share of rounds in the sun.
        mean_sun_rounds: mean length of a stay in the sun [rounds].
        start_share: of the full battery, at an episode's start.
    """

    mean_j: Annotated[float, Field(gt=0)] = 0.0014
    sun_share: Annotated[float, Field(gt=0, lt=1)] = 0.4
    mean_sun_rounds: Annotated[float, Field(ge=1)] = 8.0
    start_share: Annotated[float, Field(ge=0, le=1)] = 0.6

    @property
    def leaves_sun(self) -> float:
        """Probability to be in the shade in the round after one in the sun."""
        return 1 / self.mean_sun_rounds

    @property
    def leaves_shade(self) -> float:
        """Probability to be in the sun in the round after one in the shade."""
        return min(1.0, self.leaves_sun * self.sun_share / (1 - self.sun_share))

    @property
    def correlation(self) -> float:
        """Of successive rounds."""
        return 1 - self.leaves_sun - self.leaves_shade

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

    def build(self, batch: int, nodes: int, unit_j: float) -> Harvest:
        """The process for `batch` environments, in the unit of energies that is given."""
        return Harvest(batch, nodes, self, self.sun_j / unit_j)


class Harvest:
    """What arrives at every node.

    Attributes:
        arrived: (batch, nodes) float64, energy that arrived at the present round's beginning.
    """

    def __init__(self, batch: int, nodes: int, config: HarvestConfig, sun_energy: float) -> None:
        self.config, self.sun_energy = config, sun_energy
        self.arrived = np.zeros((batch, nodes))

    def start(self, rows: Rows, generators: Generators) -> None:
        """Draw the first round of a new episode for the environments in `rows`."""
        for row in rows:
            sunny = generators[row].random(self.arrived.shape[1]) < self.config.sun_share
            self.arrived[row] = np.where(sunny, self.sun_energy, 0.0)

    def advance(self, rows: Rows, generators: Generators) -> None:
        """Move the environments in `rows` one round on."""
        stays, comes = 1 - self.config.leaves_sun, self.config.leaves_shade
        for row in rows:
            sunny = generators[row].random(self.arrived.shape[1]) < np.where(self.arrived[row] > 0, stays, comes)
            self.arrived[row] = np.where(sunny, self.sun_energy, 0.0)

"""Where the nodes are: static, random waypoint, or Gauss-Markov mobility in a square."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from dmoe_gym.config import Component, register


class Mobility(ABC):
    """Positions of all nodes over rounds.

    Attributes:
        positions: (batch, nodes, 2) [m], within [0, area_m].
    """

    moves = True

    def __init__(self, batch: int, nodes: int, area_m: float) -> None:
        self.area_m = area_m
        self.positions = np.zeros((batch, nodes, 2))

    def start(self, row: int, generator: np.random.Generator) -> None:
        """Place the nodes of a new episode, uniformly in the square."""
        self.positions[row] = generator.uniform(0, self.area_m, self.positions.shape[1:])

    @abstractmethod
    def advance(self, row: int, generator: np.random.Generator) -> None:
        """Move the nodes for one round."""


class MobilityConfig(Component):
    """Where nodes are: builds their `Mobility`."""

    @abstractmethod
    def build(self, batch: int, nodes: int, area_m: float) -> Mobility:
        """The positions of `batch` environments in a square of side `area_m`."""


@register
class StaticConfig(MobilityConfig):
    """Nodes stay where an episode placed them, uniformly in the square."""

    kind: Literal["static"] = "static"

    def build(self, batch: int, nodes: int, area_m: float) -> Static:
        return Static(batch, nodes, area_m)


class Static(Mobility):
    """Positions that do not change within an episode."""

    moves = False

    def advance(self, row: int, generator: np.random.Generator) -> None:
        pass


@register
class RandomWaypointConfig(MobilityConfig):
    """Random waypoint mobility without pauses.

    Source: Johnson and Maltz, "Dynamic Source Routing in Ad Hoc Wireless Networks", 1996. Nodes start uniformly in
    the square, not in the model's stationary law, which is denser in the middle.

    Attributes:
        minimum_speed_m_s, maximum_speed_m_s: a leg's speed is uniform between them [m/s] (assumed 1 to 3 m/s).
        round_duration_s: time between rounds [s] (assumed 10 ms).
    """

    kind: Literal["random_waypoint"] = "random_waypoint"
    minimum_speed_m_s: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0
    maximum_speed_m_s: Annotated[float, Field(ge=1e-6, le=1e6)] = 3.0
    round_duration_s: Annotated[float, Field(ge=1e-9, le=1e6)] = 0.01

    @model_validator(mode="after")
    def _ordered_speeds(self) -> Self:
        if self.maximum_speed_m_s < self.minimum_speed_m_s:
            raise ValueError(
                f"maximum_speed_m_s = {self.maximum_speed_m_s}: valid is at least minimum_speed_m_s = "
                f"{self.minimum_speed_m_s}"
            )
        return self

    def build(self, batch: int, nodes: int, area_m: float) -> RandomWaypoint:
        return RandomWaypoint(batch, nodes, area_m, self)


class RandomWaypoint(Mobility):
    """Straight to a uniformly drawn waypoint, then to the next one; a node that arrives waits for the round's end."""

    def __init__(self, batch: int, nodes: int, area_m: float, config: RandomWaypointConfig) -> None:
        super().__init__(batch, nodes, area_m)
        self._config = config
        self._waypoints = np.zeros((batch, nodes, 2))
        self._speeds = np.zeros((batch, nodes))

    def start(self, row: int, generator: np.random.Generator) -> None:
        super().start(row, generator)
        self._waypoints[row], self._speeds[row] = self._draw(generator)

    def advance(self, row: int, generator: np.random.Generator) -> None:
        # drawn for every node, so that the count of random numbers does not depend on who arrives
        waypoints, speeds = self._draw(generator)
        way = self._waypoints[row] - self.positions[row]
        left = np.hypot(way[:, 0], way[:, 1])
        step = self._speeds[row] * self._config.round_duration_s
        arrived = left <= step
        fraction = np.where(arrived, 1.0, step / np.where(arrived, 1.0, left))
        self.positions[row] += fraction[:, None] * way
        self._waypoints[row][arrived] = waypoints[arrived]
        self._speeds[row][arrived] = speeds[arrived]

    def _draw(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        uniform = generator.random((self.positions.shape[1], 3))
        span = self._config.maximum_speed_m_s - self._config.minimum_speed_m_s
        return uniform[:, :2] * self.area_m, self._config.minimum_speed_m_s + span * uniform[:, 2]


@register
class GaussMarkovMobilityConfig(MobilityConfig):
    """Gauss-Markov mobility: every node's velocity is a stationary Gauss-Markov process of mean zero.

    Source: Liang and Haas, "Predictive Distance-Based Mobility Management for PCS Networks", 1999, here in two
    dimensions with walls that reflect; uniform positions are its stationary law.

    Attributes:
        rms_speed_m_s: root-mean-square speed [m/s] (assumed 2 m/s).
        velocity_time_s: time in which the velocity's correlation falls to 1/e [s] (assumed 1 s).
        round_duration_s: time between rounds [s] (assumed 10 ms).
    """

    kind: Literal["gauss_markov"] = "gauss_markov"
    rms_speed_m_s: Annotated[float, Field(ge=0, le=1e6)] = 2.0
    velocity_time_s: Annotated[float, Field(ge=1e-9, le=1e9)] = 1.0
    round_duration_s: Annotated[float, Field(ge=1e-9, le=1e6)] = 0.01

    def build(self, batch: int, nodes: int, area_m: float) -> GaussMarkovMobility:
        return GaussMarkovMobility(batch, nodes, area_m, self)


class GaussMarkovMobility(Mobility):
    """v[l+1] = c v[l] + sqrt(1 - c^2) s w, c = exp(-T / velocity time), s = rms speed / sqrt 2 per coordinate."""

    def __init__(self, batch: int, nodes: int, area_m: float, config: GaussMarkovMobilityConfig) -> None:
        super().__init__(batch, nodes, area_m)
        self._duration_s = config.round_duration_s
        self._spread = config.rms_speed_m_s / np.sqrt(2)
        self._keep = np.exp(-config.round_duration_s / config.velocity_time_s)
        self._renew = np.sqrt(1 - self._keep**2) * self._spread
        self._velocities = np.zeros((batch, nodes, 2))

    def start(self, row: int, generator: np.random.Generator) -> None:
        super().start(row, generator)
        self._velocities[row] = self._spread * generator.standard_normal(self.positions.shape[1:])

    def advance(self, row: int, generator: np.random.Generator) -> None:
        velocities = self._velocities[row]
        velocities *= self._keep
        velocities += self._renew * generator.standard_normal(velocities.shape)
        # reflection: fold a line of period 2 area_m back onto the square
        unfolded = (self.positions[row] + self._duration_s * velocities) % (2 * self.area_m)
        reflected = unfolded > self.area_m
        self.positions[row] = np.where(reflected, 2 * self.area_m - unfolded, unfolded)
        velocities[reflected] *= -1

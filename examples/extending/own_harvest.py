"""An own harvest: every node has a turbine, and gusts come and go slowly."""

from collections.abc import Sequence
from typing import Annotated, Literal

import gymnasium as gym
import numpy as np
from pydantic import Field

import dmoe_gym  # noqa: F401  registers the environments
from dmoe_gym.config import register
from dmoe_gym.dmoe.harvest import HarvestConfig, HarvestProcess


class Wind(HarvestProcess):
    """The logarithm of what arrives is an autoregressive process, its mean over nodes and rounds `mean_j`."""

    def __init__(self, batch: int, nodes: int, config: "WindConfig") -> None:
        super().__init__(batch, nodes)
        self.config, self.state = config, np.zeros((batch, nodes))

    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        for row in rows:
            self._arrive(row, generators[row].standard_normal(self.state.shape[1]))

    def advance(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        kept = self.config.correlation
        for row in rows:
            fresh = generators[row].standard_normal(self.state.shape[1])
            self._arrive(row, kept * self.state[row] + np.sqrt(1 - kept**2) * fresh)

    def _arrive(self, row: int, state: np.ndarray) -> None:
        self.state[row] = state
        self.arrived[row] = self.config.mean_j * np.exp(self.config.spread * state - self.config.spread**2 / 2)


@register  # for text files: harvest: {kind: wind, mean_j: 0.001}
class WindConfig(HarvestConfig):
    """How much, how gusty, and how long a gust lasts.

    Attributes:
        mean_j: mean energy per node and round [J].
        spread: standard deviation of its logarithm.
        correlation: of that in successive rounds.
    """

    kind: Literal["wind"] = "wind"
    mean_j: Annotated[float, Field(gt=0, le=1)] = 0.0014
    spread: Annotated[float, Field(ge=0, le=2)] = 0.8
    correlation: Annotated[float, Field(ge=0, lt=1)] = 0.9

    @property
    def known_mean_j(self) -> float:
        """With it `JESA-harvest` joins the line-up; `expected_arrivals` says more, where more is known."""
        return self.mean_j

    def build(self, batch: int, nodes: int) -> Wind:
        return Wind(batch, nodes, self)


if __name__ == "__main__":
    env = gym.make("DMoE-JESA-v0", scenario="harvest", harvest=WindConfig(correlation=0.95))
    observation, info = env.reset(seed=0)
    print(observation["harvest"])

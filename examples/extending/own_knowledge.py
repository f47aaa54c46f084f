"""Own channel knowledge: links report their gains in steps of so many decibels."""

from collections.abc import Sequence
from typing import Annotated, Literal

import gymnasium as gym
import numpy as np
from pydantic import Field

import dmoe_gym  # noqa: F401  registers the environments
from dmoe_gym.channel import ChannelKnowledge, ChannelProcess, KnowledgeConfig
from dmoe_gym.config import register


class QuantisedKnowledge(ChannelKnowledge):
    """Gains rounded down to a whole number of steps."""

    def __init__(self, process: ChannelProcess, step_db: float) -> None:
        super().__init__(process)
        self.step_db = step_db

    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        decibels = 10 * np.log10(np.maximum(self.process.gains[rows], 1e-12))
        self.observed_gains[rows] = 10 ** (self.step_db * np.floor(decibels / self.step_db) / 10)

    advance = start


@register  # for text files: csi: {kind: quantised, step_db: 3}
class QuantisedConfig(KnowledgeConfig):
    """How coarse reports are.

    Attributes:
        step_db: distance of the levels [dB].
    """

    kind: Literal["quantised"] = "quantised"
    step_db: Annotated[float, Field(gt=0, le=30)] = 3.0

    def build(self, process: ChannelProcess) -> QuantisedKnowledge:
        return QuantisedKnowledge(process, self.step_db)


if __name__ == "__main__":
    env = gym.make("DMoE-JESA-v0", scenario="small", csi=QuantisedConfig(step_db=6.0))
    observation, info = env.reset(seed=0)
    print(np.unique(observation["spectral_efficiency"].round(2)))

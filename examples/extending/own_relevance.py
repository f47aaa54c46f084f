"""Own gate scores: every hidden state has one favourite expert, and the others share the rest."""

from collections.abc import Sequence
from typing import Annotated, Literal

import gymnasium as gym
import numpy as np
from pydantic import Field

import dmoe_gym  # noqa: F401  registers the environments
from dmoe_gym.config import register
from dmoe_gym.relevance import RelevanceConfig, RelevanceProcess


class FavouriteProcess(RelevanceProcess):
    """The favourites are drawn anew in every round."""

    def __init__(self, batch: int, nodes: int, states: int, experts: int, share: float) -> None:
        super().__init__(batch, nodes, states, experts)
        self.share = share

    def start(self, rows: Sequence[int] | np.ndarray, generators: Sequence[np.random.Generator]) -> None:
        experts = self.gate_scores.shape[-1]
        for row in rows:
            favourites = generators[row].integers(experts, size=self.gate_scores.shape[1:3])
            rest = (1 - self.share) / (experts - 1)
            self.gate_scores[row] = np.where(favourites[..., None] == np.arange(experts), self.share, rest)

    advance = start


@register  # for text files: relevance: {kind: favourite, share: 0.7}
class FavouriteConfig(RelevanceConfig):
    """How much the favourite has.

    Attributes:
        share: the favourite's gate score.
    """

    kind: Literal["favourite"] = "favourite"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.8

    def build(self, batch: int, nodes: int, states: int, experts: int) -> FavouriteProcess:
        return FavouriteProcess(batch, nodes, states, experts, self.share)


if __name__ == "__main__":
    env = gym.make("DMoE-JESA-v0", scenario="small", relevance=FavouriteConfig(share=0.7))
    observation, info = env.reset(seed=0)
    print(observation["gate_scores"].max(-1))

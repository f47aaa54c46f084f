"""An own network for recipes, `network: {kind: normed, width: 64}`: `python -m agents --import MODULE train RECIPE`."""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from gymnasium import spaces
from pydantic import Field
from stable_baselines3.common.policies import BasePolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from agents.config import NetworkKind, TrainingConfig, register
from dmoe_gym.facades.stable_baselines import BatchedVecEnv


class NormedFeatures(BaseFeaturesExtractor):
    """All entries of the observation side by side, normalised, then one layer."""

    def __init__(self, observation_space: spaces.Dict, width: int) -> None:
        super().__init__(observation_space, width)
        size = sum(spaces.flatdim(part) for part in observation_space.values())
        self.layers = torch.nn.Sequential(torch.nn.LayerNorm(size), torch.nn.Linear(size, width), torch.nn.ReLU())

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.layers(torch.cat([values.flatten(1) for values in observations.values()], dim=1))


class NormedNetwork(NetworkKind):
    """One normalised layer.

    Attributes:
        width: of the layer.
    """

    kind: str = "normed"
    width: Annotated[int, Field(ge=1, le=4096)] = 64

    def check(self, recipe: TrainingConfig) -> None:
        if recipe.algorithm != "ppo":
            raise ValueError(f"network = 'normed' with algorithm = {recipe.algorithm!r}: valid is 'ppo'")

    def policy(self, recipe: TrainingConfig, env: BatchedVecEnv) -> tuple[type[BasePolicy], Mapping[str, Any]]:
        extractor = {"features_extractor_class": NormedFeatures, "features_extractor_kwargs": {"width": self.width}}
        return MultiInputActorCriticPolicy, extractor


register("normed", NormedNetwork)

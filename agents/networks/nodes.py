"""A network for `DMoE-JESA-Residual-v0` whose weights all nodes share (this project's choice).

Permuted nodes get permuted corrections and the same value, and one set of weights fits every K.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from gymnasium import spaces
from pydantic import Field
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from agents.config import NetworkKind, TrainingConfig
from agents.networks.heads import Split
from dmoe_gym.dmoe.env.residual import GLOBAL_FEATURES, NODE_FEATURES
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

_ALGORITHMS = ("ppo", "a2c", "trpo")


class _Tower(nn.Module):
    """Outputs per node (B, K, each) and of all together (B, overall), from (B, K, inputs)."""

    def __init__(self, inputs: int, width: int, each: int, overall: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(inputs, width), nn.Tanh())
        self.mix = nn.Sequential(nn.Linear(2 * width, width), nn.Tanh())
        self.each, self.overall = nn.Linear(width, each), nn.Linear(width, overall)

    def forward(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        embedded = self.embed(nodes)
        others = embedded.mean(1, keepdim=True).expand_as(embedded)
        mixed = self.mix(torch.cat([embedded, others], -1))
        return self.each(mixed), self.overall(mixed.mean(1))


def _sizes(observation_space: spaces.Space, history: int) -> tuple[int, int]:
    """Experts, and inputs of each."""
    assert isinstance(observation_space, spaces.Box)  # the environment's is one vector
    entries = observation_space.shape[0] // history
    inputs = history * (len(NODE_FEATURES) + len(GLOBAL_FEATURES))
    return (entries - len(GLOBAL_FEATURES)) // len(NODE_FEATURES), inputs


def _by_node(observations: Tensor, history: int, experts: int) -> Tensor:
    """(B, K, inputs): every node's own features and those of all, of observations (B, history x features)."""
    batch, own = len(observations), len(NODE_FEATURES) * experts
    frames = observations.view(batch, history, -1)
    nodes = frames[..., :own].reshape(batch, -1, experts).transpose(1, 2)
    common = frames[..., own:].flatten(1)[:, None].expand(-1, experts, -1)
    return torch.cat([nodes, common], -1)


class NodeActor(nn.Module):
    """Mean corrections (B, actions) of observations; untrained they are 0."""

    def __init__(self, observation_space: spaces.Space, actions: int, history: int, width: int) -> None:
        super().__init__()
        self.history = history
        self.experts, inputs = _sizes(observation_space, history)
        self.tower = _Tower(inputs, width, (actions - 1) // self.experts, 1)
        for layer in (self.tower.each, self.tower.overall):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, observations: Tensor) -> Tensor:
        each, relevance = self.tower(_by_node(observations, self.history, self.experts))
        return torch.cat([each[..., 0], relevance, each[..., 1:].flatten(1)], -1)


class NodeCorrections(BaseFeaturesExtractor):
    """Mean corrections and value, side by side: (B, actions + 1)."""

    def __init__(self, observation_space: spaces.Box, actions: int, history: int, width: int) -> None:
        super().__init__(observation_space, actions + 1)
        self.actor = NodeActor(observation_space, actions, history, width)
        self.critic = _Tower(_sizes(observation_space, history)[1], width, 1, 1)

    def forward(self, observations: Tensor) -> Tensor:
        """The features of a batch of observations (B, history x features)."""
        value = self.critic(_by_node(observations, self.actor.history, self.actor.experts))[1]
        return torch.cat([self.actor(observations), value], -1)


class NodePolicy(ActorCriticPolicy):
    """Of on-policy learners; `log_std` has one entry for all nodes' prices, one for relevance, one for caution.

    Args:
        history: observations that are stacked.
        width: of the hidden layers.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        *,
        history: int = 1,
        width: int = 64,
        **options: Any,
    ) -> None:
        sizes = {"actions": action_space.shape[0], "history": history, "width": width}
        options |= {"features_extractor_class": NodeCorrections, "features_extractor_kwargs": sizes}
        super().__init__(observation_space, action_space, lr_schedule, **options)

    def _build(self, lr_schedule: Schedule) -> None:
        self.mlp_extractor = Split(self.features_dim)  # type: ignore[assignment]
        self.action_net, self.value_net = nn.Identity(), nn.Identity()  # type: ignore[assignment]
        self.log_std = nn.Parameter(torch.full((3,), self.log_std_init))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        assert isinstance(self.action_dist, DiagGaussianDistribution)
        assert isinstance(self.features_extractor, NodeCorrections)
        experts = self.features_extractor.actor.experts
        counts = torch.tensor([experts, 1, latent_pi.shape[1] - experts - 1])
        return self.action_dist.proba_distribution(latent_pi, self.log_std.repeat_interleave(counts))


class NodeNetworks(NetworkKind):
    """Weights that all nodes share, for on-policy learners in `DMoE-JESA-Residual-v0`.

    Attributes:
        width: of the hidden layers.
    """

    kind: str = "nodes"
    width: Annotated[int, Field(ge=1, le=1024)] = 64

    def check(self, recipe: TrainingConfig) -> None:
        if recipe.env_id != "DMoE-JESA-Residual-v0" or recipe.algorithm not in _ALGORITHMS:
            raise ValueError(
                f"network = 'nodes' with algorithm = {recipe.algorithm!r} and env_id = {recipe.env_id!r}: "
                f"valid is {', '.join(_ALGORITHMS)} in DMoE-JESA-Residual-v0"
            )

    def policy(self, recipe: TrainingConfig, env: BatchedVecEnv) -> tuple[type[BasePolicy], dict[str, Any]]:
        return NodePolicy, {"history": recipe.history, "width": self.width}

"""A network for `DMoE-JESA-Residual-v0` whose weights all nodes share (this project's choice).

Permuted nodes get permuted corrections and the same value, and one set of weights fits every K.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import torch
from gymnasium import spaces
from pydantic import Field
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.policies import BasePolicy, ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.td3.policies import Actor, TD3Policy
from torch import Tensor, nn

from agents.config import NetworkKind, TrainingConfig
from agents.networks.heads import OutputsInside
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.env.residual import GLOBAL_FEATURES, LINK_FEATURES, NODE_FEATURES, TOLD_FEATURES
from dmoe_gym.facades.stable_baselines import BatchedVecEnv



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


class Layout(NamedTuple):
    """How a vector of features is laid out.

    Attributes:
        experts: K.
        acknowledged: are deliveries told, and features of links there?
        history: observations that are stacked.
    """

    experts: int
    acknowledged: bool = False
    history: int = 1

    @property
    def inputs(self) -> int:
        """How many numbers `by_node` gives every node."""
        told = len(TOLD_FEATURES) + 2 * len(LINK_FEATURES) if self.acknowledged else 0
        return self.history * (len(NODE_FEATURES) + len(GLOBAL_FEATURES) + told)

    def by_node(self, observations: Tensor) -> Tensor:
        """(B, K, inputs) of (B, history x features): a node's own, those of all, means over its links out and in."""
        batch, experts = len(observations), self.experts
        frames = observations.view(batch, self.history, -1)
        sizes = [len(NODE_FEATURES) * experts, len(GLOBAL_FEATURES), self.acknowledged * len(TOLD_FEATURES) * experts]
        own, common, told, links = frames.split([*sizes, frames.shape[-1] - sum(sizes)], -1)
        parts = [own.reshape(batch, -1, experts), common.flatten(1)[..., None].expand(-1, -1, experts)]
        if self.acknowledged:
            parts.append(told.reshape(batch, -1, experts))
            square = links.new_zeros(batch, self.history * len(LINK_FEATURES), experts, experts)
            square[..., ~torch.eye(experts, dtype=torch.bool)] = links.reshape(*square.shape[:2], -1)
            parts += [square.sum(dim) / (experts - 1) for dim in (-1, -2)]
        return torch.cat(parts, 1).transpose(1, 2)


class NodeActor(nn.Module):
    """Mean corrections (B, actions) of what every node gets (B, K, inputs); untrained they are 0."""

    def __init__(self, layout: Layout, actions: int, width: int) -> None:
        super().__init__()
        self.tower = _Tower(layout.inputs, width, (actions - 1) // layout.experts, 1)
        for layer in (self.tower.each, self.tower.overall):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, nodes: Tensor) -> Tensor:
        each, relevance = self.tower(nodes)
        further = each[..., 1:].transpose(1, 2).flatten(1)  # one kind of correction after the other
        return torch.cat([each[..., 0], relevance, further], -1)


class NodeCorrections(BaseFeaturesExtractor):
    """Mean corrections and value, side by side: (B, actions + 1)."""

    def __init__(self, observation_space: spaces.Box, layout: Layout, actions: int, width: int) -> None:
        super().__init__(observation_space, actions + 1)
        self.layout = layout
        self.actor = NodeActor(layout, actions, width)
        self.critic = _Tower(layout.inputs, width, 1, 1)

    def forward(self, observations: Tensor) -> Tensor:
        """The features of a batch of observations (B, history x features)."""
        nodes = self.layout.by_node(observations)
        return torch.cat([self.actor(nodes), self.critic(nodes)[1]], -1)


class NodePolicy(OutputsInside):
    """Of on-policy learners; `log_std` has one entry for each kind of correction.

    Args:
        layout: of the features.
        width: of the hidden layers.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        *,
        layout: Layout,
        width: int = 64,
        **options: Any,
    ) -> None:
        sizes = {"layout": Layout(*layout), "actions": action_space.shape[0], "width": width}
        experts = layout[0]
        # prices of all nodes, relevance, then one further kind after the other
        self.kinds = [experts, 1, *[experts] * ((action_space.shape[0] - 1) // experts - 1)]
        options |= {"features_extractor_class": NodeCorrections, "features_extractor_kwargs": sizes}
        super().__init__(observation_space, action_space, lr_schedule, **options)

    def _build(self, lr_schedule: Schedule) -> None:
        self.log_std = nn.Parameter(torch.full((len(self.kinds),), self.log_std_init))
        super()._build(lr_schedule)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        assert isinstance(self.action_dist, DiagGaussianDistribution)
        spread = self.log_std.repeat_interleave(torch.tensor(self.kinds))
        return self.action_dist.proba_distribution(latent_pi, spread)


class _Squashed(nn.Module):
    """An off-policy learner's actor: (B, history x features) to actions (B, actions) within the box."""

    def __init__(self, layout: Layout, actions: int, width: int) -> None:
        super().__init__()
        self.layout, self.actor = layout, NodeActor(layout, actions, width)

    def forward(self, observations: Tensor) -> Tensor:
        return torch.tanh(self.actor(self.layout.by_node(observations)))


class _NodeValue(nn.Module):
    """The value (B, 1) of observations and actions side by side, (B, history x features + actions)."""

    def __init__(self, layout: Layout, actions: int, width: int) -> None:
        super().__init__()
        self.layout, self.actions = layout, actions
        self.tower = _Tower(layout.inputs + 2 * ((actions - 1) // layout.experts + 1), width, 1, 1)

    def forward(self, joined: Tensor) -> Tensor:
        observations, actions = joined[:, : -self.actions], joined[:, -self.actions :]
        experts = self.layout.experts
        relevance = actions[:, experts, None, None].expand(-1, experts, 1)
        each = torch.cat([actions[:, :experts], actions[:, experts + 1 :]], 1)
        own = torch.cat([each.view(len(joined), -1, experts).transpose(1, 2), relevance], -1)
        # corrections cost on either side of the best one
        return self.tower(torch.cat([self.layout.by_node(observations), own, own**2], -1))[1]


class NodeTD3Policy(TD3Policy):
    """Of TD3 and DDPG; arguments as of `NodePolicy`."""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        *,
        layout: Layout,
        width: int = 64,
        **options: Any,
    ) -> None:
        self.sizes = (Layout(*layout), action_space.shape[0], width)
        super().__init__(observation_space, action_space, lr_schedule, net_arch=[], **options)

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """The actor; untrained it corrects nothing."""
        actor = super().make_actor(features_extractor)
        actor.mu = _Squashed(*self.sizes).to(self.device)  # type: ignore[assignment]
        return actor

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        """The critics, or their targets."""
        critic = super().make_critic(features_extractor)
        for index in range(critic.n_critics):
            critic.q_networks[index] = _NodeValue(*self.sizes).to(self.device)
            setattr(critic, f"qf{index}", critic.q_networks[index])
        return critic


_POLICIES: dict[str, type[BasePolicy]] = {
    "ppo": NodePolicy,
    "a2c": NodePolicy,
    "trpo": NodePolicy,
    "td3": NodeTD3Policy,
    "ddpg": NodeTD3Policy,
}


class NodeNetworks(NetworkKind):
    """Weights that all nodes share, for the learners of `_POLICIES` in `DMoE-JESA-Residual-v0`.

    Attributes:
        width: of the hidden layers.
    """

    kind: str = "nodes"
    width: Annotated[int, Field(ge=1, le=1024)] = 64

    def check(self, recipe: TrainingConfig) -> None:
        if recipe.env_id != "DMoE-JESA-Residual-v0" or recipe.algorithm not in _POLICIES:
            raise ValueError(
                f"network = 'nodes' with algorithm = {recipe.algorithm!r} and env_id = {recipe.env_id!r}: "
                f"valid is {', '.join(_POLICIES)} in DMoE-JESA-Residual-v0"
            )

    def policy(self, recipe: TrainingConfig, env: BatchedVecEnv) -> tuple[type[BasePolicy], dict[str, Any]]:
        config = env.core.config
        assert isinstance(config, DMoEConfig)  # `check` has seen to it
        layout = Layout(config.num_experts, config.acknowledged, recipe.history)
        return _POLICIES[recipe.algorithm], {"layout": layout, "width": self.width}

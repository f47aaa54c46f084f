"""A network for the residual environments whose weights all nodes share (this project's choice).

Permuted nodes get permuted corrections and the same value, and one set of weights fits every K.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Annotated, Any, NamedTuple, Self

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
from dmoe_gym.facades.nodes import NODES_ID
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from dmoe_gym.residual import FeatureCore


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
    """How a vector of features is laid out: those of nodes, of all, of nodes again, of links.

    Attributes:
        nodes: K, or U devices.
        own: features of every node at the beginning.
        common: features of all.
        told, links: features of every node and of every link i -> j behind them.
        history: observations that are stacked.
    """

    nodes: int
    own: int
    common: int
    told: int = 0
    links: int = 0
    history: int = 1

    @classmethod
    def of(cls, names: Sequence[str], history: int) -> Self:
        """Of a residual environment's `feature_names`: "demand[3]" is of node 3, "told[0,3]" of link 0 -> 3."""
        kinds = [name.partition("[")[2].count(",") + ("[" in name) for name in names]
        nodes = 1 + max(int(name.partition("[")[2][:-1]) for name, kind in zip(names, kinds, strict=True) if kind == 1)
        sizes = [(kind, len(list(group))) for kind, group in groupby(kinds)]
        own, common, *behind = (count for _, count in sizes)
        told, links = behind or (0, 0)
        return cls(nodes, own // nodes, common, told // nodes, links // (nodes * (nodes - 1)), history)

    @property
    def inputs(self) -> int:
        """How many numbers `by_node` gives every node."""
        return self.history * (self.own + self.common + self.told + 2 * self.links)

    def by_node(self, observations: Tensor) -> Tensor:
        """(B, K, inputs) of (B, history x features): a node's own, those of all, means over its links out and in."""
        batch, nodes = len(observations), self.nodes
        frames = observations.view(batch, self.history, -1)
        sizes = [self.own * nodes, self.common, self.told * nodes, self.links * nodes * (nodes - 1)]
        own, common, told, links = frames.split(sizes, -1)
        parts = [own.reshape(batch, -1, nodes), common.flatten(1)[..., None].expand(-1, -1, nodes)]
        if self.told:
            parts.append(told.reshape(batch, -1, nodes))
        if self.links:
            square = links.new_zeros(batch, self.history * self.links, nodes, nodes)
            square[..., ~torch.eye(nodes, dtype=torch.bool)] = links.reshape(*square.shape[:2], -1)
            parts += [square.sum(dim) / (nodes - 1) for dim in (-1, -2)]
        return torch.cat(parts, 1).transpose(1, 2)


class Entries(NamedTuple):
    """How an action is laid out: of all nodes one kind, perhaps one entry of all, of all nodes further kinds.

    Attributes:
        nodes: K, or U devices.
        kinds: how many entries every node has.
        overall: is there one of all?
    """

    nodes: int
    kinds: int
    overall: bool

    @classmethod
    def of(cls, nodes: int, actions: int) -> Self:
        """Of an action's length; one of all is what nodes cannot share."""
        return cls(nodes, actions // nodes, bool(actions % nodes))

    @property
    def sizes(self) -> list[int]:
        """Lengths of the kinds, in order."""
        return [self.nodes, *[1] * self.overall, *[self.nodes] * (self.kinds - 1)]

    def joined(self, each: Tensor, overall: Tensor) -> Tensor:
        """Actions (B, actions) of entries by node (B, K, kinds) and of all (B, 1)."""
        further = each[..., 1:].transpose(1, 2).flatten(1)
        return torch.cat([each[..., 0], *[overall] * self.overall, further], -1)

    def by_node(self, actions: Tensor) -> Tensor:
        """(B, K, kinds + overall) of actions (B, actions): what every node and all of them are corrected by."""
        first, *rest = actions.split(self.sizes, 1)
        each = torch.stack([first, *rest[self.overall :]], -1)
        return torch.cat([each, *[part[:, None].expand(-1, self.nodes, 1) for part in rest[: self.overall]]], -1)


class NodeActor(nn.Module):
    """Mean corrections (B, actions) of what every node gets (B, K, inputs); untrained they are 0."""

    def __init__(self, layout: Layout, entries: Entries, width: int) -> None:
        super().__init__()
        self.entries = entries
        self.tower = _Tower(layout.inputs, width, entries.kinds, 1)
        for layer in (self.tower.each, self.tower.overall):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, nodes: Tensor) -> Tensor:
        return self.entries.joined(*self.tower(nodes))


class NodeCorrections(BaseFeaturesExtractor):
    """Mean corrections and value, side by side: (B, actions + 1)."""

    def __init__(self, observation_space: spaces.Box, layout: Layout, entries: Entries, width: int) -> None:
        super().__init__(observation_space, sum(entries.sizes) + 1)
        self.layout = layout
        self.actor = NodeActor(layout, entries, width)
        self.critic = _Tower(layout.inputs, width, 1, 1)

    def forward(self, observations: Tensor) -> Tensor:
        nodes = self.layout.by_node(observations)
        return torch.cat([self.actor(nodes), self.critic(nodes)[1]], -1)


class NodePolicy(OutputsInside):
    """Of on-policy learners; `log_std` has one entry for each kind of correction."""

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
        self.entries = Entries.of(layout[0], action_space.shape[0])
        sizes = {"layout": Layout(*layout), "entries": self.entries, "width": width}
        options |= {"features_extractor_class": NodeCorrections, "features_extractor_kwargs": sizes}
        super().__init__(observation_space, action_space, lr_schedule, **options)

    def _build(self, lr_schedule: Schedule) -> None:
        self.log_std = nn.Parameter(torch.full((len(self.entries.sizes),), self.log_std_init))
        super()._build(lr_schedule)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        assert isinstance(self.action_dist, DiagGaussianDistribution)
        spread = self.log_std.repeat_interleave(torch.tensor(self.entries.sizes))
        return self.action_dist.proba_distribution(latent_pi, spread)


class _Squashed(nn.Module):
    """An off-policy learner's actor: (B, history x features) to actions (B, actions) within the box."""

    def __init__(self, layout: Layout, entries: Entries, width: int) -> None:
        super().__init__()
        self.layout, self.actor = layout, NodeActor(layout, entries, width)

    def forward(self, observations: Tensor) -> Tensor:
        return torch.tanh(self.actor(self.layout.by_node(observations)))


class _NodeValue(nn.Module):
    """The value (B, 1) of observations and actions side by side, (B, history x features + actions)."""

    def __init__(self, layout: Layout, entries: Entries, width: int) -> None:
        super().__init__()
        self.layout, self.entries = layout, entries
        self.tower = _Tower(layout.inputs + 2 * (entries.kinds + entries.overall), width, 1, 1)

    def forward(self, joined: Tensor) -> Tensor:
        actions = sum(self.entries.sizes)
        nodes, corrected = self.layout.by_node(joined[:, :-actions]), self.entries.by_node(joined[:, -actions:])
        # corrections cost on either side of the best one
        return self.tower(torch.cat([nodes, corrected, corrected**2], -1))[1]


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
        self.sizes = (Layout(*layout), Entries.of(layout[0], action_space.shape[0]), width)
        super().__init__(observation_space, action_space, lr_schedule, net_arch=[], **options)

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """The actor; untrained it corrects nothing."""
        actor = super().make_actor(features_extractor)
        actor.mu = nn.Sequential(_Squashed(*self.sizes)).to(self.device)
        return actor

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        """The critics, or their targets."""
        critic = super().make_critic(features_extractor)
        for index in range(critic.n_critics):
            critic.q_networks[index] = _NodeValue(*self.sizes).to(self.device)
            setattr(critic, f"qf{index}", critic.q_networks[index])
        return critic


_PLACES = (
    "DMoE-JESA-Residual-v0",
    "DMoE-Inference-Residual-v0",
    "WDMoE-Residual-v0",
    "WDMoE-Inference-Residual-v0",
    NODES_ID,
)
_POLICIES: dict[str, type[BasePolicy]] = {
    "ppo": NodePolicy,
    "a2c": NodePolicy,
    "trpo": NodePolicy,
    "td3": NodeTD3Policy,
    "ddpg": NodeTD3Policy,
}


class NodeNetworks(NetworkKind):
    """Weights that all nodes share, for the learners of `_POLICIES` in the residual environments.

    Where every node decides for itself, a node shares them over the experts that it sees.

    Attributes:
        width: of the hidden layers.
    """

    kind: str = "nodes"
    width: Annotated[int, Field(ge=1, le=1024)] = 64

    def check(self, recipe: TrainingConfig) -> None:
        if recipe.env_id not in _PLACES or recipe.algorithm not in _POLICIES:
            raise ValueError(
                f"network = 'nodes' with algorithm = {recipe.algorithm!r} and env_id = {recipe.env_id!r}: "
                f"valid is {', '.join(_POLICIES)} in {', '.join(_PLACES)}"
            )

    def policy(self, recipe: TrainingConfig, env: BatchedVecEnv) -> tuple[type[BasePolicy], dict[str, Any]]:
        assert isinstance(env.core, FeatureCore)  # `check` has seen to it
        layout = Layout.of(env.core.feature_names, recipe.history)
        return _POLICIES[recipe.algorithm], {"layout": layout, "width": self.width}

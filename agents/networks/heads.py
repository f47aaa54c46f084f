"""Stable-Baselines3's actor-critic policies around networks that make the action's parameters and the value."""

from __future__ import annotations

from itertools import groupby
from typing import Any, ClassVar, Self

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import MultiCategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from agents.networks.features import Prices


class BatchedMultiCategorical(MultiCategoricalDistribution):
    """`MultiCategoricalDistribution` without a loop over factors: a tensor (B, count, size) per run of equal sizes.

    Args:
        action_dims: sizes of the factors.
    """

    def __init__(self, action_dims: list[int]) -> None:
        super().__init__(action_dims)
        self._runs = [(size, len(list(group))) for size, group in groupby(int(size) for size in action_dims)]
        self._logs: list[Tensor] = []

    def proba_distribution(self, action_logits: Tensor) -> Self:
        """Take unnormalised logits (B, sum of sizes)."""
        parts = torch.split(action_logits, [size * count for size, count in self._runs], dim=1)
        shaped = [part.reshape(-1, count, size) for part, (size, count) in zip(parts, self._runs, strict=True)]
        self._logs = [torch.log_softmax(part, -1) for part in shaped]
        return self

    def _chosen(self, actions: Tensor) -> list[Tensor]:
        """Log-probabilities of each factor's value, (B, count) per run."""
        columns = torch.split(actions.long(), [count for _, count in self._runs], dim=1)
        return [part.gather(-1, column[..., None])[..., 0] for part, column in zip(self._logs, columns, strict=True)]

    def log_prob(self, actions: Tensor) -> Tensor:
        """(B,) of actions (B, factors)."""
        return torch.stack([each.sum(-1) for each in self._chosen(actions)]).sum(0)

    def log_probs(self, actions: Tensor) -> Tensor:
        """(B, factors) of actions (B, factors), factor by factor."""
        return torch.cat(self._chosen(actions), dim=1)

    def entropy(self) -> Tensor:
        """(B,)."""
        return -torch.stack([(part * part.exp()).sum((-1, -2)) for part in self._logs]).sum(0)

    def sample(self) -> Tensor:
        """(B, factors)."""
        drawn = [torch.multinomial(part.exp().flatten(0, 1), 1).view(part.shape[:-1]) for part in self._logs]
        return torch.cat(drawn, dim=1)

    def mode(self) -> Tensor:
        """(B, factors)."""
        return torch.cat([part.argmax(-1) for part in self._logs], dim=1)


class BatchedMultiInputPolicy(MultiInputActorCriticPolicy):
    """PPO's policy for dictionary observations with `BatchedMultiCategorical`; elsewhere it is SB3's own."""

    def _build(self, lr_schedule: Schedule) -> None:
        if isinstance(self.action_dist, MultiCategoricalDistribution):
            self.action_dist = BatchedMultiCategorical(self.action_dist.action_dims)
        super()._build(lr_schedule)


# What a recipe's `policy` may name beside SB3's own, by algorithm.
POLICIES: dict[str, dict[str, Any]] = {
    "ppo": {"BatchedMultiInputPolicy": BatchedMultiInputPolicy},
}


ROUND_KEYS = ("gate_scores", "spectral_efficiency", "threshold", "computation_energy")


def checked(
    observation_space: spaces.Space,
    keys: tuple[str, ...] = ROUND_KEYS,
    valid: str = "DMoE-JESA-v0 or DMoE-JESA-Price-v0",
) -> spaces.Dict:
    """The space itself; `valid` says whose it should be.

    Raises:
        ValueError: if it is no dictionary or lacks a key that the equivariant networks read.
    """
    if not isinstance(observation_space, spaces.Dict):
        raise ValueError(f"network: the equivariant one reads a dictionary, not {observation_space}")
    missing = set(keys) - set(observation_space.spaces)
    if missing:
        raise ValueError(f"network: the equivariant one reads {', '.join(sorted(missing))}, valid is {valid}")
    return observation_space


def shape_of(observation_space: spaces.Space, key: str) -> tuple[int, ...]:
    """The shape of an observation's entry."""
    shape = checked(observation_space)[key].shape
    assert shape is not None  # all entries are boxes
    return shape


class Split(nn.Module):
    """What SB3 calls the MLP extractor: the last feature is the value, the others are the action's parameters."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.latent_dim_pi, self.latent_dim_vf = features - 1, 1

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Both parts."""
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        """The action's parameters."""
        return features[:, :-1]

    def forward_critic(self, features: Tensor) -> Tensor:
        """The value."""
        return features[:, -1:]


class OutputsInside(ActorCriticPolicy):
    """A policy whose features extractor makes the action's parameters and the value: no layer here learns anything."""

    def _build(self, lr_schedule: Schedule) -> None:
        self.mlp_extractor = Split(self.features_dim)  # type: ignore[assignment]
        self.action_net, self.value_net = nn.Identity(), nn.Identity()  # type: ignore[assignment]
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]


class Equivariant(BasePolicy):
    """A policy around its equivariant `extractor`; its parameters fit every K, M and N.

    Args:
        prices: constants of the DMoE configuration.
        width: of the network's hidden layers.

    Raises:
        ValueError: if the observations are not those of its `places`.
    """

    extractor: ClassVar[type[BaseFeaturesExtractor]]
    keys: ClassVar[tuple[str, ...]] = ROUND_KEYS
    places: ClassVar[str] = "DMoE-JESA-v0 or DMoE-JESA-Price-v0"

    def __init__(
        self, observation_space: spaces.Space, *others: Any, prices: Prices, width: int = 32, **options: Any
    ) -> None:
        options["features_extractor_class"] = self.extractor
        options["features_extractor_kwargs"] = {"prices": Prices(*prices), "width": width}
        options["ortho_init"] = False
        super().__init__(checked(observation_space, self.keys, self.places), *others, **options)

"""Stable-Baselines3's actor-critic policies around networks that make the action's parameters and the value."""

from __future__ import annotations

from typing import Any, ClassVar

from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from agents.networks.features import Prices

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


class HeadsInside(ActorCriticPolicy):
    """A policy whose features extractor, `extractor`, says everything: no layer here depends on the sizes."""

    extractor: ClassVar[type[BaseFeaturesExtractor]]

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Schedule,
        *,
        prices: Prices,
        width: int = 32,
        **options: Any,
    ) -> None:
        options["features_extractor_class"] = self.extractor
        options["features_extractor_kwargs"] = {"prices": Prices(*prices), "width": width}
        super().__init__(checked(observation_space), action_space, lr_schedule, **options)

    def _build(self, lr_schedule: Schedule) -> None:
        self.mlp_extractor = Split(self.features_dim)  # type: ignore[assignment]
        self.action_net, self.value_net = nn.Identity(), nn.Identity()  # type: ignore[assignment]
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

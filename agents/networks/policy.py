"""The equivariant network as a policy of MaskablePPO."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableMultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import nn

from agents.networks.equivariant import EquivariantNetwork
from agents.networks.features import Prices


class EquivariantExtractor(BaseFeaturesExtractor):
    """Logits and value of `EquivariantNetwork`, side by side: (B, K * M + 2)."""

    def __init__(self, observation_space: spaces.Dict, prices: Prices, width: int) -> None:
        nodes, _, subcarriers = observation_space["spectral_efficiency"].shape  # type: ignore[misc]
        super().__init__(observation_space, nodes * subcarriers + 2)
        self.network = EquivariantNetwork(prices, width)

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """The features of a batch of observations."""
        return torch.cat(self.network(observations), -1)


class _Split(nn.Module):
    """What SB3 calls the MLP extractor: the last feature is the value, the others are logits."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.latent_dim_pi, self.latent_dim_vf = features - 1, 1

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: torch.Tensor) -> torch.Tensor:
        return features[:, :-1]

    def forward_critic(self, features: torch.Tensor) -> torch.Tensor:
        return features[:, -1:]


class EquivariantSequentialPolicy(MaskableMultiInputActorCriticPolicy):
    """For `DMoE-JESA-Sequential-v0`; its parameters fit every K, M and N.

    Args:
        prices: constants of the DMoE configuration.
        width: of the network's hidden layers.

    Raises:
        ValueError: if the spaces are not those of `DMoE-JESA-Sequential-v0`.
    """

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
        if not isinstance(observation_space, spaces.Dict):
            raise ValueError(f"network: the equivariant one reads a dictionary, not {observation_space}")
        keys = set(observation_space.spaces)
        missing = {"gate_scores", "spectral_efficiency", "selected", "allocated", "turn"} - keys
        if missing:
            raise ValueError(
                f"network: the equivariant one reads {', '.join(sorted(missing))}, valid is DMoE-JESA-Sequential-v0"
            )
        options["features_extractor_class"] = EquivariantExtractor
        options["features_extractor_kwargs"] = {"prices": Prices(*prices), "width": width}
        options["ortho_init"] = False
        super().__init__(observation_space, action_space, lr_schedule, **options)

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _Split(self.features_dim)  # type: ignore[assignment]

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Identity()
        self.value_net = nn.Identity()  # type: ignore[assignment]
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

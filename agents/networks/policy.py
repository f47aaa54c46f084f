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
from agents.networks.heads import ROUND_KEYS, Split, checked, shape_of


class EquivariantExtractor(BaseFeaturesExtractor):
    """Logits and value of `EquivariantNetwork`, side by side: (B, K * M + 2)."""

    def __init__(self, observation_space: spaces.Dict, prices: Prices, width: int) -> None:
        nodes, _, subcarriers = shape_of(observation_space, "spectral_efficiency")
        super().__init__(observation_space, nodes * subcarriers + 2)
        self.network = EquivariantNetwork(prices, width)

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """The features of a batch of observations."""
        return torch.cat(self.network(observations), -1)


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
        observed = checked(observation_space, (*ROUND_KEYS, "selected", "allocated", "turn"), "DMoE-JESA-Sequential-v0")
        options["features_extractor_class"] = EquivariantExtractor
        options["features_extractor_kwargs"] = {"prices": Prices(*prices), "width": width}
        options["ortho_init"] = False
        super().__init__(observed, action_space, lr_schedule, **options)

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = Split(self.features_dim)  # type: ignore[assignment]

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Identity()
        self.value_net = nn.Identity()  # type: ignore[assignment]
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

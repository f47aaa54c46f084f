"""The equivariant price networks as policies of PPO and SAC."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.policies import ContinuousCritic, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.sac.policies import Actor, SACPolicy
from torch import Tensor, nn

from agents.networks.features import Prices, mlp
from agents.networks.heads import Equivariant, OutputsInside, checked, shape_of
from agents.networks.rounds import EncodedRound, RoundEncoder, RoundValue, as_square, between, cheapest_cost

# What a threshold's factor does to a hidden state is decided within a few hundredths of its range.
_FINE, _COARSE = 50.0, 10.0


class PriceHead(nn.Module):
    """One output per ordered link and one for the threshold, (B, K (K - 1) + 1); all start at `bias`.

    Args:
        width: of the embeddings.
        bias: what untrained weights say, for links and for the threshold. With (0, 0) as means they are JESA.
    """

    def __init__(self, width: int, bias: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__()
        self.bias = bias
        self.link = nn.Linear(width, 1)
        self.attention = nn.Linear(width, 1)
        self.pooled = nn.Sequential(nn.Linear(3 * width, width), nn.ReLU())
        self.threshold = nn.Linear(width, 1)
        for layer in (self.link, self.threshold):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, encoded: EncodedRound) -> Tensor:
        """Of a batch of rounds."""
        states = encoded.states.flatten(1, 2)
        attended = (torch.softmax(self.attention(states), 1) * states).sum(1)
        pooled = self.pooled(torch.cat([attended, states.mean(1), encoded.links.mean((1, 2))], -1))
        links, threshold = between(self.link(encoded.links)[..., 0]), self.threshold(pooled)
        return torch.cat([self.bias[0] + links, self.bias[1] + threshold], -1)


class PriceCritic(nn.Module):
    """Value (B, 1) of actions (B, K (K - 1) + 1) in a batch of rounds; no permutation of both changes it."""

    def __init__(self, prices: Prices, width: int) -> None:
        super().__init__()
        self.max_experts = prices.max_experts
        self.item = mlp(2 * width + 1, width, width)
        self.state = mlp(3 * width + 5, width, 1)

    def forward(self, encoded: EncodedRound, actions: Tensor) -> Tensor:
        """Minus the expected cost of each round under its action."""
        items, experts = encoded.items, encoded.items.shape[1]
        links = torch.cat([encoded.links, as_square(actions[:, :-1], experts)[..., None]], -1)
        joined = torch.cat([items, links[:, :, None].expand(*items.shape[:-1], -1)], -1)
        priced = torch.relu(self.item(joined))
        factor = actions[:, -1, None, None].expand_as(encoded.needed)
        above = factor - encoded.needed
        told = torch.stack(
            [
                factor,
                torch.tanh(factor * _COARSE),
                torch.tanh(factor * _FINE),
                torch.tanh(above * _COARSE),
                torch.tanh(above * _FINE),
            ],
            -1,
        )
        each = self.state(torch.cat([encoded.states, priced.mean(3), priced.amax(3), told], -1))[..., 0]
        return (each.mean((1, 2)) - cheapest_cost(encoded.seen, self.max_experts))[:, None]


# How far untrained policies try prices of links and the factor on the threshold (this project's choice).
LOG_STD = (-3.0, -4.0)


def _actions(observation_space: spaces.Space) -> int:
    (experts,) = shape_of(observation_space, "computation_energy")
    return experts * (experts - 1) + 1


class PriceAndValue(BaseFeaturesExtractor):
    """Mean prices and value, side by side: (B, K (K - 1) + 2)."""

    def __init__(self, observation_space: spaces.Dict, prices: Prices, width: int) -> None:
        super().__init__(observation_space, _actions(observation_space) + 1)
        self.encoder, self.head = RoundEncoder(prices, width), PriceHead(width)
        self.value = RoundValue(prices, width)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        encoded = self.encoder(observations)
        return torch.cat([self.head(encoded), self.value(encoded)], -1)


class EquivariantPricePolicy(Equivariant, OutputsInside, MultiInputActorCriticPolicy):
    """PPO's, for `DMoE-JESA-Price-v0`; `log_std` has one entry for all links and one for the threshold."""

    extractor = PriceAndValue

    def _build(self, lr_schedule: Schedule) -> None:
        self.log_std = nn.Parameter(torch.tensor(LOG_STD))
        super()._build(lr_schedule)

    def _get_action_dist_from_latent(self, latent_pi: Tensor) -> Distribution:
        assert isinstance(self.action_dist, DiagGaussianDistribution)
        links, threshold = self.log_std
        spread = torch.cat([links.expand(latent_pi.shape[1] - 1), threshold[None]])
        return self.action_dist.proba_distribution(latent_pi, spread)


class PriceMoments(BaseFeaturesExtractor):
    """Means and log standard deviations, side by side: (B, 2 K (K - 1) + 2)."""

    def __init__(self, observation_space: spaces.Dict, prices: Prices, width: int) -> None:
        super().__init__(observation_space, 2 * _actions(observation_space))
        self.encoder = RoundEncoder(prices, width)
        self.mean, self.log_std = PriceHead(width), PriceHead(width, LOG_STD)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        encoded = self.encoder(observations)
        return torch.cat([self.mean(encoded), self.log_std(encoded)], -1)


class _Half(nn.Module):
    """The first or the second half of the columns."""

    def __init__(self, which: int) -> None:
        super().__init__()
        self.which = which

    def forward(self, columns: Tensor) -> Tensor:
        return columns.chunk(2, -1)[self.which]


class _PriceActor(Actor):
    """SAC's actor, whose means and deviations are made by the features extractor."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.mu, self.log_std = _Half(0), _Half(1)  # type: ignore[assignment]


class EncodedBatch(BaseFeaturesExtractor):
    """Not features but an `EncodedRound`, which critics share."""

    def __init__(self, observation_space: spaces.Dict, prices: Prices, width: int) -> None:
        super().__init__(observation_space, 1)
        self.encoder = RoundEncoder(prices, width)

    def forward(self, observations: dict[str, Tensor]) -> EncodedRound:
        return self.encoder(observations)


class _PriceCritics(ContinuousCritic):
    """SAC's critics over one encoder; they take the action link by link."""

    features_extractor: EncodedBatch

    def __init__(self, *, prices: Prices, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.critics = [PriceCritic(prices, width) for _ in range(self.n_critics)]
        self.q_networks = list(self.critics)
        for index, network in enumerate(self.critics):
            setattr(self, f"qf{index}", network)

    def forward(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        encoded = self.features_extractor(obs)  # 32-bit boxes, which need no preprocessing
        return tuple(network(encoded, actions) for network in self.critics)


class EquivariantSACPolicy(SACPolicy):
    """SAC's, for `DMoE-JESA-Price-v0`; its parameters fit every K, M and N."""

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        *,
        prices: Prices,
        width: int = 32,
        **options: Any,
    ) -> None:
        self.sizes: dict[str, Any] = {"prices": Prices(*prices), "width": width}
        options["features_extractor_class"] = PriceMoments
        options["features_extractor_kwargs"] = self.sizes
        super().__init__(checked(observation_space), action_space, lr_schedule, net_arch=[], **options)

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """The actor."""
        return _PriceActor(**self._update_features_extractor(self.actor_kwargs, features_extractor)).to(self.device)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        """The critics, or their targets."""
        encoded = EncodedBatch(checked(self.observation_space), **self.sizes)
        options = self._update_features_extractor(self.critic_kwargs, features_extractor or encoded)
        return _PriceCritics(**options, **self.sizes).to(self.device)

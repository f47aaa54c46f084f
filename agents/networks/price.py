"""Equivariant networks for `DMoE-JESA-Price-v0`: a log price per ordered link and one log factor on the threshold."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agents.networks.features import Prices
from agents.networks.inputs import mlp
from agents.networks.rounds import EncodedRound, as_square, between, cheapest_cost

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
    """Value (B, 1) of actions (B, K (K - 1) + 1) in a batch of rounds; no permutation of both changes it.

    Args:
        prices: constants of the DMoE configuration.
        width: of the embeddings and the hidden layers.
    """

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

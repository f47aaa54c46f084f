"""What the equivariant networks for whole rounds share: an embedding of a round, and the value of one.

Weights are shared over experts, links, subcarriers and hidden states, as in `agents.networks.equivariant`, and so is
its idea: what hidden states are likely to want is estimated first, which prices the subcarriers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from agents.networks.features import (
    OUT_OF_REACH,
    STATE_INPUTS,
    Prices,
    RoundFeatures,
    expected_loss,
    harm,
    mlp,
    own_harm,
    squash,
    state_inputs,
    whole_round,
)
from dmoe_gym.dmoe.env.joint import LOG_THRESHOLD_FACTOR

ITEM_INPUTS, LINK_INPUTS, SUMMARY_INPUTS = STATE_INPUTS + 4, 6, 7


@dataclass(frozen=True)
class EncodedRound:
    """A batch of rounds, B of them; W is the network's width.

    Attributes:
        seen: features without any learned part.
        dearer: (B, K, K) what others are expected to lose adds so much to the link's least energy.
        items: (B, K, N, K, W) every hidden state with every expert.
        links: (B, K, K, W) every link, and every node's own expert on the diagonal.
        states: (B, K, N, W) every hidden state.
        soft: (B, K, N, K, K) cost of every pair of experts with shortfall at its price; of one alone on the diagonal.
        needed: (B, K, N) the log factor on the threshold at which the choice that is cheapest when shortfall is
            priced becomes feasible, in units of the action's range; 0 where it is feasible as it stands.
    """

    seen: RoundFeatures
    dearer: Tensor
    items: Tensor
    links: Tensor
    states: Tensor
    soft: Tensor
    needed: Tensor


class RoundEncoder(nn.Module):
    """Embeddings that follow every permutation of nodes, subcarriers and each node's hidden states."""

    def __init__(self, prices: Prices, width: int) -> None:
        super().__init__()
        self.prices = prices
        self.demand = mlp(STATE_INPUTS, width, 1)
        self.item = mlp(ITEM_INPUTS, width, width)
        self.link = nn.Linear(LINK_INPUTS + width, width)
        self.link_around = nn.Linear(3 * width, width)
        self.link_out = nn.Linear(width, width)
        self.state = nn.Linear(SUMMARY_INPUTS + 2 * width, width)
        self.state_around = nn.Linear(width, width)

    def forward(self, observation: Mapping[str, Tensor]) -> EncodedRound:
        """Embed a batch of observations of rounds of which nothing is decided yet."""
        seen = whole_round(observation, self.prices)
        inputs = state_inputs(seen, self.prices.shortfall_price)
        load = torch.sigmoid(self.demand(inputs)[..., 0]).sum(2)
        remote = 1 - seen.own
        prices = subcarrier_prices(seen, load)
        dearer = ((seen.subcarrier_energies + prices).amin(-1) - seen.best) * remote
        soft, needed = _priced_choice(seen, self.prices)
        items = torch.relu(self.item(self._item_inputs(seen, inputs, dearer, load, soft)))

        about = torch.stack(
            [
                squash(seen.best),
                squash(seen.loss),
                squash(dearer),
                squash(seen.energy),
                load / 2,
                seen.own,
            ],
            -1,
        )
        links = torch.relu(self.link(torch.cat([about, items.mean(2)], -1)))
        rows, columns = links.mean(2, keepdim=True), links.mean(1, keepdim=True)
        everything = links.mean((1, 2), keepdim=True)
        around = torch.cat([part.expand_as(links) for part in (rows, columns, everything)], -1)
        links = torch.relu(self.link_out(links) + self.link_around(around))

        hard = seen.completion.amin(-1)
        saving = (hard - soft.amin((-1, -2))).clamp(min=0)
        summary = torch.stack(
            [
                squash(hard),
                squash(saving),
                (saving > 0).float(),
                needed,
                torch.tanh(needed * 20),
                torch.log1p(saving * 20) / 3,
                seen.target,
            ],
            -1,
        )
        states = torch.relu(self.state(torch.cat([summary, items.mean(3), items.amax(3)], -1)))
        states = torch.relu(states + self.state_around(states.mean((1, 2), keepdim=True)))
        return EncodedRound(seen, dearer, items, links, states, soft, needed)

    def _item_inputs(self, seen: RoundFeatures, inputs: Tensor, dearer: Tensor, load: Tensor, soft: Tensor) -> Tensor:
        """(B, K, N, K, ITEM_INPUTS)."""
        regret = soft.amin(-1) - soft.amin((-1, -2))[..., None]
        more = torch.stack(
            [
                squash(dearer)[:, :, None].expand_as(seen.scores),
                load[:, :, None].expand_as(seen.scores) / 2,
                torch.exp(-regret * 4),
                squash(regret),
            ],
            -1,
        )
        return torch.cat([inputs, more], -1)


class RoundValue(nn.Module):
    """Minus a round's expected cost, (B, 1): what the cheapest feasible choices would cost if no two links wanted the
    same subcarrier, and a learned correction.
    """

    def __init__(self, prices: Prices, width: int) -> None:
        super().__init__()
        self.max_experts = prices.max_experts
        self.correction = mlp(2 * width, width, 1)

    def forward(self, encoded: EncodedRound) -> Tensor:
        """The value of a batch of rounds."""
        pooled = torch.cat([encoded.states.mean((1, 2)), encoded.links.mean((1, 2))], -1)
        return self.correction(pooled) - cheapest_cost(encoded.seen, self.max_experts)[:, None]


def subcarrier_prices(seen: RoundFeatures, load: Tensor) -> Tensor:
    """(B, K, K, M) what others, whose links carry `load` (B, K, K), lose if a link takes a subcarrier."""
    loss, subcarriers = expected_loss(seen, load), seen.subcarrier_energies.shape[-1]
    others = harm(loss, seen.best_at, subcarriers)[:, None, None] - own_harm(loss, seen.best_at, subcarriers)
    return others.clamp(min=0) * (1 - seen.own)[..., None]


def cheapest_cost(seen: RoundFeatures, max_experts: int) -> Tensor:
    """(B,) cost of a round in which every hidden state gets its cheapest feasible choice over its links' bests."""
    return seen.completion.amin(-1).clamp(max=OUT_OF_REACH).mean((1, 2)) / max_experts


def _priced_choice(seen: RoundFeatures, prices: Prices) -> tuple[Tensor, Tensor]:
    """`EncodedRound.soft` and `needed`."""
    experts = seen.scores.shape[-1]
    alone = torch.eye(experts, device=seen.scores.device)
    together = seen.scores[..., :, None] + seen.scores[..., None, :] * (1 - alone)
    energy = seen.energy[:, :, None, :, None] + seen.energy[:, :, None, None, :] * (1 - alone)
    cost = energy + prices.shortfall_price * (seen.target[..., None, None] - together).clamp(min=0)
    if prices.max_experts < 2:
        cost = cost + 2 * OUT_OF_REACH * (1 - alone)
    at = cost.flatten(-2).argmin(-1, keepdim=True)
    served = together.flatten(-2).gather(-1, at)[..., 0]
    needed = torch.log((served / seen.target.clamp(min=1e-6)).clamp(1e-3, 1)) / LOG_THRESHOLD_FACTOR
    return cost.clamp(max=2 * OUT_OF_REACH), needed.clamp(min=-1)


def between(links: Tensor) -> Tensor:
    """(B, K, K, ...) of links as (B, K (K - 1), ...), in the order in which actions name them."""
    experts = links.shape[1]
    return links[:, ~torch.eye(experts, dtype=torch.bool, device=links.device)]


def as_square(values: Tensor, experts: int) -> Tensor:
    """The inverse of `between`: (B, K (K - 1)) as (B, K, K), zero on the diagonal."""
    square = values.new_zeros(len(values), experts, experts)
    square[:, ~torch.eye(experts, dtype=torch.bool, device=values.device)] = values
    return square

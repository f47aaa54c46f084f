"""The equivariant network for `DMoE-JESA-v0`: a logit per selection bit and per (link, subcarrier), and the policy."""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from agents.networks.features import (
    PAIR_INPUTS,
    SUBCARRIER_INPUTS,
    Prices,
    RoundFeatures,
    mlp,
    pair_inputs,
    squash,
    subcarrier_inputs,
)
from agents.networks.heads import BatchedMultiCategorical, Equivariant, OutputsInside, shape_of
from agents.networks.rounds import EncodedRound, RoundEncoder, RoundValue, between, subcarrier_prices

RIVAL_INPUTS = 5
# Weights of pairs that are no choice, and the least odds against a choice: bits stay finite.
_NEVER, _LEAST_ODDS = -1e4, 1e-5


class JointHead(nn.Module):
    """Logits of a round's action.

    Experts of a hidden state are weighed alone and in pairs; a bit's logit is the log odds of the choices that contain
    its expert against those that do not, and a term of its own. Where more than two experts are allowed that term is
    what a third has.
    """

    def __init__(self, prices: Prices, width: int) -> None:
        super().__init__()
        self.max_experts = prices.max_experts
        self.pair = nn.Linear(PAIR_INPUTS + 2, width)
        self.pair_side = nn.Linear(width, width)
        self.pair_score = nn.Linear(width, 1)
        self.bit = mlp(2 * width, width, 1)
        self.subcarrier = mlp(SUBCARRIER_INPUTS, width, 1)
        self.subcarrier_linear = nn.Linear(SUBCARRIER_INPUTS, 1, bias=False)
        self.second_thought = mlp(SUBCARRIER_INPUTS + RIVAL_INPUTS, width, 1)

    def forward(self, encoded: EncodedRound) -> tuple[Tensor, Tensor]:
        """Log odds of the bits (B, K, N, K), and logits of the wishes (B, K, K, M), which mean nothing for i = j."""
        seen = encoded.seen
        energy = (seen.energy + encoded.dearer)[:, :, None].expand_as(seen.scores)
        regret = encoded.soft - encoded.soft.amin((-1, -2), keepdim=True)
        pairs = torch.cat(
            [
                pair_inputs(seen.scores, energy, seen.target),
                torch.stack([torch.exp(-regret * 4), squash(regret)], -1),
            ],
            -1,
        )
        side = self.pair_side(encoded.items)
        hidden = torch.relu(self.pair(pairs) + side[..., :, None, :] + side[..., None, :, :])
        weights = self.pair_score(hidden)[..., 0]
        if self.max_experts < 2:
            alone = torch.eye(weights.shape[-1], dtype=torch.bool, device=weights.device)
            weights = weights.masked_fill(~alone, _NEVER)
        states = encoded.states[..., None, :].expand_as(encoded.items)
        bits = _log_odds(weights) + self.bit(torch.cat([encoded.items, states], -1))[..., 0]
        # now it is known better what links will carry; a link's wish matters only if it is something
        load = torch.sigmoid(bits.detach()).sum(2)
        prices = subcarrier_prices(seen, load)
        inputs = subcarrier_inputs(seen.subcarrier_energies, seen.best, prices, load.clamp(min=1))
        wishes = self.subcarrier(inputs)[..., 0] + self.subcarrier_linear(inputs)[..., 0]
        rivals = _rival_inputs(seen, load, torch.softmax(wishes, -1))
        return bits, wishes + self.second_thought(torch.cat([inputs, rivals], -1))[..., 0]


def _rival_inputs(seen: RoundFeatures, load: Tensor, wishes: Tensor) -> Tensor:
    """(B, K, K, M, RIVAL_INPUTS): what the other links' first wishes mean for a link, subcarrier by subcarrier.

    Args:
        load: (B, K, K) hidden states that each link will carry.
        wishes: (B, K, K, M) shares of one.
    """
    weight = (load * (1 - seen.own))[..., None]
    wanted = weight * wishes
    # what a link loses if it wants m and does not get it: the way to its best other one
    energies = seen.subcarrier_energies
    lowest = energies.topk(min(2, energies.shape[-1]), dim=-1, largest=False).values
    other = torch.where(energies <= lowest[..., :1], lowest[..., -1:], lowest[..., :1])
    stake = wanted * (other - energies).clamp(min=0)
    demanded, staked = (each.sum((1, 2), keepdim=True) - each for each in (wanted, stake))
    ahead = stake - staked
    return torch.stack(
        [wishes, demanded, torch.log1p(50 * staked), torch.tanh(ahead * 10), torch.tanh(ahead * 100)], -1
    )


def _log_odds(weights: Tensor) -> Tensor:
    """(..., K) of the choices with an expert against those without; weights: (..., K, K), symmetric, of log choices."""
    ahead = torch.tril(torch.ones_like(weights[0, 0, 0], dtype=torch.bool))
    everything = torch.logsumexp(weights.masked_fill(~ahead, 2 * _NEVER).flatten(-2), -1, keepdim=True)
    # shares of one, so that what is missing to one can be told
    left = (everything - torch.logsumexp(weights, -1)).clamp(min=_LEAST_ODDS)
    return -torch.log(torch.expm1(left.clamp(max=60)))


class LogitsAndValue(BaseFeaturesExtractor):
    """Logits as `MultiDiscrete` factors name them, and the value: (B, 2 K N K + K (K - 1) M + 1)."""

    def __init__(self, observation_space: spaces.Dict, prices: Prices, width: int) -> None:
        experts, states, _ = shape_of(observation_space, "gate_scores")
        subcarriers = shape_of(observation_space, "spectral_efficiency")[-1]
        super().__init__(observation_space, experts * (2 * states * experts + (experts - 1) * subcarriers) + 1)
        self.encoder, self.head = RoundEncoder(prices, width), JointHead(prices, width)
        self.value = RoundValue(prices, width)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        encoded = self.encoder(observations)
        bits, wishes = self.head(encoded)
        both = torch.stack([torch.zeros_like(bits), bits], -1)
        return torch.cat([both.flatten(1), between(wishes).flatten(1), self.value(encoded)], -1)


class EquivariantJointPolicy(Equivariant, OutputsInside, MultiInputActorCriticPolicy):
    """PPO's, for `DMoE-JESA-v0`."""

    extractor = LogitsAndValue

    def _build(self, lr_schedule: Schedule) -> None:
        assert isinstance(self.action_space, spaces.MultiDiscrete)
        self.action_dist = BatchedMultiCategorical(self.action_space.nvec.tolist())
        super()._build(lr_schedule)

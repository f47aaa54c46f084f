"""A permutation-equivariant network for `DMoE-JESA-Sequential-v0` (this project's choice).

One logit per (expert, subcarrier) and one for "done" for the hidden state whose turn it is, and a value that no
permutation changes. Weights are shared over experts, pairs of experts, subcarriers and hidden states, so one set of
them works for every K, M and N. The idea is JESA's own, learned: what the hidden states still to come will want is
estimated first, which prices the subcarriers; then pairs of experts are weighed for the current one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.policies import MaskableMultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn
from torch.nn import functional

from agents.networks.features import (
    PAIR_INPUTS,
    STATE_INPUTS,
    SUBCARRIER_INPUTS,
    Features,
    Prices,
    expected_loss,
    features_of,
    harm,
    mlp,
    own_harm,
    pair_inputs,
    squash,
    state_inputs,
    subcarrier_inputs,
)
from agents.networks.heads import ROUND_KEYS, Equivariant, Split, shape_of

EXPERT_INPUTS, CONTEXT_INPUTS = 18, 7


class EquivariantNetwork(nn.Module):
    """Logits (B, K * M + 1) and value (B, 1) from a batch of observations."""

    def __init__(self, prices: Prices, width: int = 32) -> None:
        super().__init__()
        self.prices = prices
        self.demand = mlp(STATE_INPUTS, width, 1)
        self.expert = nn.Sequential(nn.Linear(EXPERT_INPUTS, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.pair = mlp(PAIR_INPUTS, width, width)
        self.pair_left = nn.Linear(width, width)
        self.pair_score = nn.Linear(width, 1)
        self.score = mlp(2 * width, width, 1)
        self.context = nn.Sequential(nn.Linear(2 * width + CONTEXT_INPUTS, width), nn.ReLU())
        self.done = nn.Linear(width, 1)
        self.subcarrier = mlp(SUBCARRIER_INPUTS, width, 1)
        self.subcarrier_linear = nn.Linear(SUBCARRIER_INPUTS, 1, bias=False)
        self.remaining_value = mlp(STATE_INPUTS + 2, width, 1)
        self.current_value = mlp(width, width, 1)

    def forward(self, observation: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits and value."""
        seen = features_of(observation, self.prices)
        rows, i = seen.rows, seen.node
        n = seen.position % seen.scores.shape[2]
        states = state_inputs(seen, self.prices.shortfall_price)
        wanted = torch.sigmoid(self.demand(states)[..., 0]) * seen.remaining[..., None]  # (B, K, N, K)
        load = wanted.sum(2)  # (B, K, K) hidden states that each link will carry
        loss, subcarriers = expected_loss(seen, load), seen.link_energies.shape[-1]
        # (B, K, M) what others lose if the current node takes m for j
        prices = harm(loss, seen.best_at, subcarriers)[:, None, :]
        prices = prices - own_harm(loss[rows, i], seen.best_at[rows, i], subcarriers)
        pressure = _pressure(seen, wanted)

        # --- subcarriers
        inputs = subcarrier_inputs(seen.link_energies, seen.best[rows, i], prices, load[rows, i])
        quality = self.subcarrier(inputs)[..., 0] + self.subcarrier_linear(inputs)[..., 0]
        choice = functional.log_softmax(quality.masked_fill(~seen.available, -1e4), -1)  # (B, K, M)

        # --- experts, in the light of the prices
        dearer = (seen.link_energies + prices).amin(-1) - seen.best[rows, i]
        experts = self._expert_inputs(seen, i, n, load, dearer, pressure)
        embedded = self.expert(experts)  # (B, K, W)
        left = seen.picks_left
        alone = torch.eye(seen.scores.shape[-1], device=rows.device)
        missing = (seen.target - seen.served)[rows, i, n].clamp(min=0)
        pairs = pair_inputs(seen.scores[rows, i, n], seen.energy[rows, i] + dearer, missing)
        side = self.pair_left(embedded)
        hidden = torch.relu(self.pair(pairs) + side[:, :, None] + side[:, None, :])
        busy = seen.picked[rows, i, n] > 0
        forbidden = busy[:, None, :] | ((alone == 0) & (left < 2)[:, None, None])
        weighed = self.pair_score(hidden)[..., 0].masked_fill(forbidden & (alone == 0), -1e4)
        best_pair = torch.logsumexp(weighed, -1)  # (B, K)
        pooled = torch.cat([embedded.mean(1), embedded.amax(1)], -1)
        context = self.context(torch.cat([pooled, self._context_inputs(seen, i, n, pressure)], -1))
        scores = best_pair + self.score(torch.cat([embedded, context[:, None].expand_as(embedded)], -1))[..., 0]
        logits = torch.cat([(scores[..., None] + choice).flatten(1), self.done(context)], -1)
        return logits, self._value(seen, states, context, pressure)

    def _expert_inputs(
        self, seen: Features, i: Tensor, n: Tensor, load: Tensor, dearer: Tensor, pressure: dict[str, Tensor]
    ) -> Tensor:
        rows = seen.rows
        scores, missing = seen.scores[rows, i, n], (seen.target - seen.served)[rows, i, n].clamp(min=0)[:, None]
        completion = seen.completion[rows, i, n] + dearer
        regret = completion - completion.amin(-1, keepdim=True)
        gain = seen.gain[rows, i, n]
        ones = torch.ones_like(scores)
        return torch.stack(
            [
                scores,
                scores - missing,
                (scores >= missing).float(),
                missing * ones,
                seen.own[rows, i],
                seen.linked[rows, i],
                seen.picked[rows, i, n],
                squash(seen.energy[rows, i]),
                squash(dearer),
                torch.exp(-regret * 4),
                squash(regret),
                load[rows, i] / 2,
                gain,
                torch.log1p(gain * self.prices.shortfall_price) / 3,
                pressure["rank"],
                pressure["crowding"][:, None] * ones,
                seen.picks_left[:, None] / self.prices.max_experts * ones,
                (seen.served[rows, i, n][:, None] > 0) * ones,
            ],
            -1,
        )

    def _context_inputs(self, seen: Features, i: Tensor, n: Tensor, pressure: dict[str, Tensor]) -> Tensor:
        rows = seen.rows
        missing = (seen.target - seen.served)[rows, i, n].clamp(min=0)
        return torch.stack(
            [
                missing,
                (missing > 1e-6).float(),
                seen.target[rows, i, n],
                seen.picks_left / self.prices.max_experts,
                pressure["crowding"],
                torch.log1p(seen.free) / 4,
                (seen.free == 0).float(),
            ],
            -1,
        )

    def _value(self, seen: Features, states: Tensor, context: Tensor, pressure: dict[str, Tensor]) -> Tensor:
        """Minus the round's remaining cost; a hidden state's share of it is 1 / (K N)."""
        cheapest = seen.completion.amin(-1, keepdim=True)
        crowding = pressure["crowding"][:, None, None].expand(*seen.remaining.shape)
        best = states.amax(3) * seen.remaining[..., None]
        rest = self.remaining_value(torch.cat([best, squash(cheapest), crowding[..., None]], -1))[..., 0]
        share = (rest * seen.remaining).sum((1, 2)) + self.current_value(context)[..., 0]
        return (share / seen.remaining[0].numel())[:, None]


def _pressure(seen: Features, wanted: Tensor) -> dict[str, Tensor]:
    """How many links want the free subcarriers, and how many of them gain more than the current one would.

    Returns:
        crowding: (B,) -1 where nobody else wants one, up to 1 where many times more links want them than there are;
        rank: (B, K) likewise for the links that gain more relevance than the current node's link to j.
    """
    unlinked = ((seen.own + seen.linked) == 0).float()
    links = (1 - torch.exp(-wanted.sum(2))) * unlinked  # roughly: is the link wanted at all
    free = seen.free.clamp(min=0)
    needed = links.sum((1, 2))
    value = (seen.gain * seen.remaining[..., None]).sum(2) * unlinked  # (B, K, K)
    state = seen.position % seen.scores.shape[2]
    mine = seen.gain[seen.rows, seen.node, state] + value[seen.rows, seen.node]
    ahead = torch.sigmoid((value.flatten(1)[:, None, :] - mine[..., None]) * 20) * (value.flatten(1)[:, None, :] > 0)
    before = ahead.sum(-1)
    return {
        "crowding": (needed - free) / (needed + free + 1),
        "rank": (before - free[:, None]) / (before + free[:, None] + 1),
    }


class EquivariantExtractor(BaseFeaturesExtractor):
    """Logits and value of `EquivariantNetwork`, side by side: (B, K * M + 2)."""

    def __init__(self, observation_space: spaces.Dict, prices: Prices, width: int) -> None:
        nodes, _, subcarriers = shape_of(observation_space, "spectral_efficiency")
        super().__init__(observation_space, nodes * subcarriers + 2)
        self.network = EquivariantNetwork(prices, width)

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.cat(self.network(observations), -1)


class EquivariantSequentialPolicy(Equivariant, MaskableMultiInputActorCriticPolicy):
    """For `DMoE-JESA-Sequential-v0`."""

    extractor = EquivariantExtractor
    keys = (*ROUND_KEYS, "selected", "allocated", "turn")
    places = "DMoE-JESA-Sequential-v0"

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = Split(self.features_dim)  # type: ignore[assignment]

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Identity()
        self.value_net = nn.Identity()  # type: ignore[assignment]
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

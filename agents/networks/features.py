"""What a scheduler can see of a round and of a partial schedule, as tensors without any learned part.

Everything is a function of the observation and a handful of constants, and follows a permutation of experts, nodes,
hidden states and subcarriers. Energies are in units of E_ref / (K N D)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

# What an expert out of reach costs [unit]: far above any energy that a schedule would pay, small enough to be learned.
OUT_OF_REACH = 20.0
TOLERANCE = 1e-6


class Prices(NamedTuple):
    """The constants of a DMoE configuration that features need (see `physics.terms.Constants`)."""

    transmission: float
    shortfall_price: float
    max_experts: int


@dataclass(frozen=True)
class RoundFeatures:
    """Of a round; batch B, K experts and nodes, N hidden states per node, M subcarriers.

    Attributes:
        served: (B, K, N) relevance so far; target: (B, K, N) attainable threshold of every hidden state.
        scores, picked: (B, K, N, K).
        own, linked: (B, K, K) 1 where node i reaches expert j without a new subcarrier.
        taken: (B, M) bool; free: (B,) number of subcarriers that are not.
        subcarrier_energies: (B, K, K, M) transmission energy of one hidden state, OUT_OF_REACH at most.
        best: (B, K, K) transmission energy of every link over what it has or its best free subcarrier;
        best_at: (B, K, K) which subcarrier that is; loss: (B, K, K) what the link loses if somebody else takes it.
        energy: (B, K, K) transmission and computation.
        completion: (B, K, N, K) least energy with which expert j, alone or with one more, reaches the target.
        gain: (B, K, N, K) relevance that a new link to j brings over what needs no new link.
    """

    served: Tensor
    target: Tensor
    scores: Tensor
    picked: Tensor
    own: Tensor
    linked: Tensor
    taken: Tensor
    free: Tensor
    subcarrier_energies: Tensor
    best: Tensor
    best_at: Tensor
    loss: Tensor
    energy: Tensor
    completion: Tensor
    gain: Tensor


@dataclass(frozen=True)
class Features(RoundFeatures):
    """Of a partial schedule.

    Attributes:
        rows: (B,) 0..B-1, as an index.
        node: (B,) node of the hidden state whose turn it is; position: (B,) its place in the turns, i * N + n.
        picks_left: (B,) experts that it may still get.
        remaining: (B, K, N) 1 for hidden states whose turn is still to come.
        link_energies: (B, K, M) of the current node's links, OUT_OF_REACH where a subcarrier cannot be had.
        available: (B, K, M) bool, where it can.
    """

    rows: Tensor
    node: Tensor
    position: Tensor
    picks_left: Tensor
    remaining: Tensor
    link_energies: Tensor
    available: Tensor


def whole_round(observation: Mapping[str, Tensor], prices: Prices) -> RoundFeatures:
    """The features of a batch of rounds of which nothing is decided yet."""
    nothing = torch.zeros_like
    return _round(observation, prices, nothing(observation["gate_scores"]), nothing(observation["spectral_efficiency"]))


def features_of(observation: Mapping[str, Tensor], prices: Prices) -> Features:
    """The features of a batch of observations of `DMoE-JESA-Sequential-v0`."""
    picked, allocated = observation["selected"], observation["allocated"]
    seen = _round(observation, prices, picked, allocated)
    batch, experts, states, _ = picked.shape
    rows = torch.arange(batch, device=picked.device)
    position = observation["turn"].argmax(-1)
    node = position // states
    i, n = node, position % states

    mine = allocated[rows, node] > 0
    first = torch.zeros(allocated.shape[-1], dtype=torch.bool, device=picked.device)
    first[0] = True
    usable = ~seen.taken[:, None, :] & (observation["spectral_efficiency"][rows, node] > 0)
    available = torch.where(seen.linked[rows, node][..., None] > 0, mine, usable)
    available = torch.where(seen.own[rows, node][..., None] > 0, first, available)
    link_energies = seen.subcarrier_energies[rows, node].masked_fill(~available, OUT_OF_REACH)
    link_energies = torch.where(seen.own[rows, node][..., None] > 0, 0.0, link_energies)
    order = torch.arange(experts * states, device=picked.device).view(1, experts, states)
    return Features(
        **vars(seen),
        rows=rows,
        node=node,
        position=position,
        picks_left=prices.max_experts - picked[rows, i, n].sum(-1),
        remaining=(order > position[:, None, None]).float(),
        link_energies=link_energies,
        available=available,
    )


def _round(observation: Mapping[str, Tensor], prices: Prices, picked: Tensor, allocated: Tensor) -> RoundFeatures:
    """With selections (B, K, N, K) and links' subcarriers (B, K, K, M) that are made already."""
    scores = observation["gate_scores"]
    batch, experts, _, _ = scores.shape
    subcarriers = allocated.shape[-1]
    limit = prices.max_experts

    linked = allocated.amax(-1)
    own = torch.eye(experts, device=scores.device).expand(batch, -1, -1)
    taken = allocated.amax((1, 2)) > 0
    energies = (
        prices.transmission / observation["spectral_efficiency"].clamp(min=prices.transmission / OUT_OF_REACH)
    ).clamp(max=OUT_OF_REACH)
    free_energies = energies.masked_fill(taken[:, None, None], OUT_OF_REACH)
    least, at = free_energies.topk(min(2, subcarriers), dim=-1, largest=False)
    reached = (own + linked) > 0
    held = (allocated * energies).sum(-1)
    best = torch.where(own > 0, 0.0, torch.where(linked > 0, held, least[..., 0]))
    best_at = torch.where(linked > 0, allocated.argmax(-1), at[..., 0])
    second = least[..., -1] if subcarriers > 1 else torch.full_like(best, OUT_OF_REACH)
    loss = torch.where(reached, 0.0, second - least[..., 0])
    energy = best + observation["computation_energy"][:, None, :]

    served = (scores * picked).sum(-1)
    best_scores = scores.topk(limit, dim=-1).values.sum(-1)
    target = torch.minimum(best_scores, observation["threshold"][:, :, None])
    missing = (target - served).clamp(min=0)

    # the cheapest way to the target with j and at most one more expert
    busy = OUT_OF_REACH * picked
    cost = (energy[:, :, None, :] + busy).clamp(max=2 * OUT_OF_REACH)
    completion = cost + OUT_OF_REACH * (scores + TOLERANCE < missing[..., None])
    if limit > 1:
        enough = scores[..., :, None] + scores[..., None, :] + TOLERANCE >= missing[..., None, None]
        both = cost[..., :, None] + cost[..., None, :] + OUT_OF_REACH * ~enough
        both = both + 2 * OUT_OF_REACH * torch.eye(experts, device=scores.device)
        room = (limit - picked.sum(-1) >= 2)[..., None]
        completion = torch.minimum(completion, torch.where(room, both.amin(-1), 4 * OUT_OF_REACH))

    # what a new link adds to the best that needs none
    without = scores * reached[:, :, None, :]
    base = without.topk(limit, dim=-1).values
    top = base.sum(-1)
    rest = top - base[..., -1]
    gain = torch.minimum(scores + rest[..., None], target[..., None]) - torch.minimum(top, target)[..., None]
    gain = gain.clamp(min=0) * ~reached[:, :, None, :]

    return RoundFeatures(
        served=served,
        target=target,
        scores=scores,
        picked=picked,
        own=own,
        linked=linked,
        taken=taken,
        free=(~taken).float().sum(-1),
        subcarrier_energies=energies,
        best=best,
        best_at=best_at,
        loss=loss,
        energy=energy,
        completion=completion,
        gain=gain,
    )


STATE_INPUTS, PAIR_INPUTS, SUBCARRIER_INPUTS = 9, 5, 6
# Where energies in units of E_ref / (K N D) are told apart well: most are below 2.
_SOFT = 4.0


def mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """One hidden layer."""
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))


def squash(energy: Tensor) -> Tensor:
    """Energies up to a few units nearly as they are, larger ones bounded."""
    return energy / (1 + energy.abs() / _SOFT)


def state_inputs(seen: RoundFeatures, shortfall_price: float) -> Tensor:
    """(B, K, N, K, STATE_INPUTS): every hidden state with every expert."""
    energy = seen.energy[:, :, None, :].expand_as(seen.scores)
    regret = seen.completion - seen.completion.amin(-1, keepdim=True)
    reached = (seen.own + seen.linked)[:, :, None, :].expand_as(seen.scores)
    missing = (seen.target - seen.served)[..., None].expand_as(seen.scores)
    return torch.stack(
        [
            seen.scores,
            seen.scores - missing,
            (seen.scores >= missing).float(),
            squash(energy),
            torch.exp(-regret * 4),
            squash(regret),
            reached,
            seen.gain,
            torch.log1p(seen.gain * shortfall_price) / 3,
        ],
        -1,
    )


def subcarrier_inputs(energies: Tensor, best: Tensor, prices: Tensor, load: Tensor) -> Tensor:
    """(..., M, SUBCARRIER_INPUTS): every subcarrier of links with these energies.

    Args:
        energies: (..., M) of one hidden state; best: (...) the least of them.
        prices: (..., M) what others lose if the link takes the subcarrier.
        load: (...) hidden states that the link is expected to carry.
    """
    excess = energies - best[..., None]
    return torch.stack(
        [
            squash(excess),
            torch.exp(-excess * 5),
            torch.log1p(20 * prices),
            squash(excess + prices),
            squash(energies),
            load[..., None].expand_as(excess) / 2,
        ],
        -1,
    )


def pair_inputs(scores: Tensor, energy: Tensor, missing: Tensor) -> Tensor:
    """(..., K, K, PAIR_INPUTS): every pair of experts for a hidden state, on the diagonal every expert alone.

    Args:
        scores, energy: (..., K); missing: (...) relevance that is asked for.
    """
    alone = torch.eye(scores.shape[-1], device=scores.device)
    together = scores[..., :, None] + scores[..., None, :] * (1 - alone)
    cost = energy[..., :, None] + energy[..., None, :] * (1 - alone)
    slack = together - missing[..., None, None]
    return torch.stack(
        [slack, (slack >= -1e-6).float(), squash(cost), alone.expand_as(slack), slack.clamp(max=0) * 10], -1
    )


def expected_loss(seen: RoundFeatures, load: Tensor) -> Tensor:
    """(B, K, K) what every link's hidden states (B, K, K) are expected to lose if its best subcarrier goes."""
    return load * seen.loss.clamp(max=OUT_OF_REACH)


def harm(loss: Tensor, best_at: Tensor, subcarriers: int) -> Tensor:
    """(B, M) what links lose in all if a subcarrier goes; loss, best_at: (B, K, K)."""
    return loss.new_zeros(len(loss), subcarriers).scatter_add(1, best_at.flatten(1), loss.flatten(1))


def own_harm(loss: Tensor, best_at: Tensor, subcarriers: int) -> Tensor:
    """(..., M) what each link loses itself if a subcarrier goes; loss, best_at: (...)."""
    return loss.new_zeros(*loss.shape, subcarriers).scatter(-1, best_at[..., None], loss[..., None])

"""What the equivariant networks' layers are fed with, made of features; nothing here is learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agents.networks.features import OUT_OF_REACH, RoundFeatures

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

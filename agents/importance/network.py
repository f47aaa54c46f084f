"""The network that says how much each hidden state of each layer needs each expert."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

# what a wrong answer costs in training, drawn log-uniformly [E_ref]
PRICES = (5.0, 400.0)
# slope of the sigmoid that gradients go through, per unit of energy
SHARPNESS = 3.0


class SelectionNetwork(nn.Module):
    """importance * gate score - energy, where a multilayer perceptron corrects both, the same for every pair.

    Untrained it is a Lagrangian rule: an expert answers where its gate score is worth its energy, at an importance
    that grows with the root of the price and falls from layer to layer.

    It sees of the pair: gate score, energy, whether the expert is the node's own; of the hidden state: its sorted gate
    scores, position, its image's mean gate scores; layer, expert and the price of a wrong answer.
    """

    def __init__(self, layers: int, states: int, experts: int, width: int = 32) -> None:
        super().__init__()
        self.sizes = (layers, states, experts)
        features = 7 + 2 * experts + layers + states + experts
        first, second = nn.Linear(features, width), nn.Linear(width, width)
        last = nn.Linear(width, 2)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.body = nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), last)

    def forward(self, layer: Tensor, node: Tensor, scores: Tensor, energies: Tensor, price: Tensor) -> Tensor:
        """Logits (B, N, K), above 0 for experts that should answer.

        Args:
            layer, node: (B,) int64 from 0, of every image.
            scores: (B, N, K) gate scores.
            energies: (B, K) energy of one hidden state at every expert [E_ref / (K N D)].
            price: (B,) of a wrong answer [E_ref].
        """
        layers, states, experts = self.sizes
        shape = (*scores.shape, 1)
        low, high = np.log(PRICES[0]), np.log(PRICES[1])

        def spread(value: Tensor) -> Tensor:
            """(B, ...) to (B, N, K, features)."""
            return value.expand(*scores.shape, value.shape[-1])

        own = one_hot(node, experts).to(scores.dtype)
        place = energies[:, None].expand_as(scores)
        own_score = (scores * own[:, None]).sum(-1, keepdim=True).expand_as(scores)
        pair = [
            scores,
            (scores + 1e-3).log() / 3,
            place,
            place - energies.min(-1).values[:, None, None],
            own[:, None].expand_as(scores),
            own_score,
            ((price.log() - low) / (high - low) * 2 - 1)[:, None, None].expand_as(scores),
        ]
        known = [
            *(value.reshape(shape) for value in pair),
            spread(scores.sort(-1, descending=True).values[:, :, None]),
            spread(scores.mean(1)[:, None, None]),
            spread(one_hot(layer, layers).to(scores.dtype)[:, None, None]),
            spread(torch.eye(states)[None, :, None]),
            spread(torch.eye(experts)[None, None]),
        ]
        correction = self.body(torch.cat(known, -1))
        importance = 6.0 * (price[:, None, None] / 50).sqrt() * (-0.25 * layer[:, None, None]).exp()
        return SHARPNESS * (importance * correction[..., 0].exp() * scores - place + correction[..., 1])


def keep_best(logits: Tensor, most: int) -> Tensor:
    """Selections (..., K) bool: logits above 0, the largest `most` of them, and always the largest."""
    ranks = logits.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    return ((logits > 0) & (ranks < most)) | (ranks == 0)


def soften(logits: Tensor) -> Tensor:
    """How likely each expert answers, (..., K): the gradient's view of `keep_best`, where the largest always does."""
    first = logits.softmax(-1)
    return first + (1 - first) * logits.sigmoid()


def link_energies(efficiency: np.ndarray, computation: np.ndarray, transmission: float) -> np.ndarray:
    """(B, K, K) energy of one hidden state of node i at expert j over the link's best subcarrier, float32.

    Args:
        efficiency: (B, K, K) bit/s/Hz; computation: (B, K); transmission: energy at 1 bit/s/Hz; all energies in units
            of E_ref / (K N D).
    """
    nodes = efficiency.shape[-1]
    energies = transmission / np.maximum(efficiency.astype(np.float64), 1e-2)
    energies[..., np.arange(nodes), np.arange(nodes)] = 0.0
    return (energies + computation[..., None, :]).astype(np.float32)

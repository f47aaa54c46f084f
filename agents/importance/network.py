"""The networks that say which experts each hidden state of each layer needs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

# what a wrong answer costs in training, drawn log-uniformly [E_ref]
PRICES = (15.0, 80.0)
# slope of the sigmoid that gradients go through, per unit of energy
SHARPNESS = 3.0
# log gate scores below this are seen as this
_LEAST_LOG_SCORE = -7.0


class SelectionNetwork(nn.Module):
    """Members that each say importance * gate score - energy, both corrected by a multilayer perceptron per layer.

    Untrained a member is a Lagrangian rule: an expert answers where its gate score is worth its energy, at an
    importance that grows with the root of the price and falls from layer to layer.

    It sees of a hidden state: its log gate scores and their mean over the image, the energies of all experts, the
    node, its position in the image, and the price of a wrong answer. Every layer has weights of its own.

    Attributes:
        members: how many networks of the same sizes are side by side; parameters have the axes (members, layers, ...).
    """

    def __init__(self, layers: int, states: int, experts: int, width: int = 64, members: int = 1) -> None:
        super().__init__()
        self.sizes = (layers, states, experts)
        self.members = members
        features = 4 * experts + states + 1
        self.first, self.first_bias = _layer(members, layers, features, width)
        self.second, self.second_bias = _layer(members, layers, width, width)
        self.last, self.last_bias = _layer(members, layers, width, 2 * experts)
        self.importance = nn.Parameter(torch.zeros(members, layers))
        nn.init.zeros_(self.last)

    def forward(self, layer: int, node: Tensor, log_scores: Tensor, energies: Tensor, price: Tensor) -> Tensor:
        """Logits (members, B, N, K), above 0 for experts that should answer.

        Args:
            layer: from 0.
            node: (members or 1, B) int64 from 0, of every image.
            log_scores: (members or 1, B, N, K) log gate scores.
            energies: (members or 1, B, K) energy of one hidden state at every expert [E_ref / (K N D)].
            price: (members or 1, B) of a wrong answer [E_ref].
        """
        _, states, experts = self.sizes
        low, high = np.log(PRICES)
        dearness = ((price.log() - low) / (high - low) * 2 - 1)[..., None, None]
        seen = log_scores.clamp(min=_LEAST_LOG_SCORE) / 2 + 1
        known = [
            seen,
            seen.mean(-2, keepdim=True).expand_as(seen),
            energies[..., None, :].expand_as(seen),
            one_hot(node, experts).to(seen.dtype)[..., None, :].expand_as(seen),
            torch.eye(states).expand(*seen.shape[:-1], states),
            dearness.expand(*seen.shape[:-1], 1),
        ]
        values = torch.cat(known, -1).flatten(1, 2).expand(self.members, -1, -1)
        values = torch.tanh(torch.baddbmm(self.first_bias[:, layer, None], values, self.first[:, layer]))
        values = torch.tanh(torch.baddbmm(self.second_bias[:, layer, None], values, self.second[:, layer]))
        values = torch.baddbmm(self.last_bias[:, layer, None], values, self.last[:, layer])
        factor, addend = values.unflatten(1, seen.shape[1:3]).unflatten(-1, (2, experts)).unbind(-2)
        importance = (self.importance[:, layer, None] - 0.25 * layer).exp() * 6 * (price / 50).sqrt()
        worth = importance[..., None, None] * factor.exp() * log_scores.exp()
        return SHARPNESS * (worth - energies[..., None, :] + addend * (1 + dearness))

    def member(self, index: int) -> SelectionNetwork:
        """One member alone, a copy."""
        alone = SelectionNetwork(*self.sizes, self.first.shape[-1])
        alone.load_state_dict({name: tensor[index, None] for name, tensor in self.state_dict().items()})
        return alone.eval()

    @torch.no_grad()
    def decide(self, layer: int, node: Tensor, log_scores: Tensor, energies: Tensor, price: float, most: int) -> Tensor:
        """Selections (B, N, K) bool of at most `most` experts, by the mean of the members' logits.

        Args:
            layer, node, log_scores, energies: as in `forward`, without the members' axis.
            price: of a wrong answer [E_ref].
        """
        dear = torch.full(node.shape, price)
        logits = self(layer, node[None], log_scores[None], energies[None], dear[None])
        return keep_best(logits.mean(0), most)


def _layer(members: int, layers: int, inputs: int, outputs: int) -> tuple[nn.Parameter, nn.Parameter]:
    """Weights and biases of one layer of the perceptrons."""
    weights = torch.randn(members, layers, inputs, outputs) / inputs**0.5
    return nn.Parameter(weights), nn.Parameter(torch.zeros(members, layers, outputs))


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

"""The classifier in torch, for training; environments run `InferenceModel`, the same formulas without torch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from dmoe_gym.models.digits.config import ClassifierConfig
from dmoe_gym.models.digits.weights import EPSILON, shapes


class Classifier(nn.Module):
    """Patches to class scores through L DMoE layers: attention among an image's hidden states, a gate, K experts.

    Parameters are those of `Weights`, of all layers at once: a leading axis L.
    """

    embedding: Tensor
    position: Tensor
    attention_scale: Tensor
    query: Tensor
    key: Tensor
    value: Tensor
    expert_scale: Tensor
    gate: Tensor
    inner: Tensor
    inner_bias: Tensor
    outer: Tensor
    outer_bias: Tensor
    head_scale: Tensor
    head: Tensor
    head_bias: Tensor

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        for name, shape in shapes(config).items():
            if name.endswith("scale"):
                start = torch.ones(shape)
            elif name.endswith("bias"):
                start = torch.zeros(shape)
            else:
                start = torch.randn(shape) / shape[-2] ** 0.5
            self.register_parameter(name, nn.Parameter(start))

    def forward(self, patches: Tensor, choose: Callable[[int, Tensor], Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Class scores (B, classes) and every layer's log gate scores (B, N, K).

        Args:
            patches: (B, N, pixels).
            choose: which experts are heard: (layer from 0, log gate scores (B, N, K)) to (B, N, K) bool, at least one
                of each hidden state, or real factors on the gate scores where gradients shall reach the choice.
        """
        states = patches @ self.embedding + self.position
        every_log_scores = []
        for layer in range(self.config.layers):
            states = self.attend(layer, states)
            log_scores = self.gate_log_scores(layer, states)
            every_log_scores.append(log_scores)
            states = self.aggregate(layer, states, log_scores, choose(layer, log_scores))
        return normalised(states, self.head_scale).mean(1) @ self.head + self.head_bias, every_log_scores

    def attend(self, layer: int, states: Tensor) -> Tensor:
        """(B, N, width) to (B, N, width)."""
        seen = normalised(states, self.attention_scale[layer])
        scores = (seen @ self.query[layer]) @ (seen @ self.key[layer]).transpose(1, 2) / states.shape[-1] ** 0.5
        return states + scores.softmax(-1) @ (seen @ self.value[layer])

    def gate_log_scores(self, layer: int, states: Tensor) -> Tensor:
        """(B, N, width) after attention to (B, N, K)."""
        return (normalised(states, self.expert_scale[layer]) @ self.gate[layer]).log_softmax(-1)

    def aggregate(self, layer: int, states: Tensor, log_scores: Tensor, heard: Tensor) -> Tensor:
        """Add the heard experts' answers, weighted by gate scores that are renormalised over them.

        Args:
            states: (B, N, width) after attention.
            log_scores: (B, N, K); heard: (B, N, K) bool, or real factors on the gate scores.
        """
        batch, count, width = states.shape
        seen = normalised(states, self.expert_scale[layer]).reshape(1, batch * count, width)
        seen = seen.expand(self.config.experts, -1, -1)
        inside = functional.relu(torch.baddbmm(self.inner_bias[layer][:, None], seen, self.inner[layer]))
        answers = torch.baddbmm(self.outer_bias[layer][:, None], inside, self.outer[layer])
        if heard.dtype == torch.bool:
            weights = log_scores.masked_fill(~heard, -torch.inf).softmax(-1)
        else:
            weights = log_scores.exp() * heard
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-12)
        weights = weights.reshape(batch * count, -1)
        return states + torch.einsum("sk,ksd->sd", weights, answers).reshape(states.shape)


def normalised(states: Tensor, scale: Tensor) -> Tensor:
    """Divided by the root mean square over the width, times a learned scale."""
    return states * (states.square().mean(-1, keepdim=True) + EPSILON).rsqrt() * scale

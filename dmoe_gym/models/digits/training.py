"""Training the classifier so that it degrades gracefully where schedulers leave experts out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import cross_entropy

from dmoe_gym.models.digits.data import DOMAINS, ClassifierConfig, LabelledImages, in_every_domain, load_digits_split
from dmoe_gym.models.digits.weights import EPSILON, Weights, checked_weights, shapes
from dmoe_gym.models.reproducible import reproducible


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


# Of images that do not hear every expert, one half hears the best 1 to this many.
MOST_BEST = 3


def train(config: ClassifierConfig | None = None, *, images: LabelledImages | None = None) -> Weights:
    """Train on the digits' training part, every image in every domain, with new shifts and noise in every epoch.

    The same configuration and images give the same weights bit for bit on one machine and torch version.

    Args:
        config: sizes and training; `ClassifierConfig()` if None.
        images: what to train on instead.

    Raises:
        ValueError: if there are not as many experts as domains.
    """
    config = config or ClassifierConfig()
    if config.experts != len(DOMAINS):
        raise ValueError(f"experts = {config.experts}: valid is {len(DOMAINS)}, one per domain")
    images = images or load_digits_split().train
    generator = np.random.default_rng([config.seed, 1])
    labels = torch.from_numpy(np.tile(images.labels, len(DOMAINS)))
    domains = torch.arange(len(DOMAINS)).repeat_interleave(len(images))
    with reproducible(config.seed):
        network = Classifier(config)
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        steps = config.epochs * -(-len(labels) // config.batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, steps)
        for _ in range(config.epochs):
            seen = in_every_domain(images.images[:, 0], generator)
            patches = torch.from_numpy(seen.reshape(-1, *seen.shape[2:]))
            for rows in torch.from_numpy(generator.permutation(len(labels))).split(config.batch_size):
                drop = ExpertDropping(config, len(rows), generator)
                class_scores, log_scores = network(patches[rows], drop)
                loss = cross_entropy(class_scores, labels[rows], label_smoothing=config.label_smoothing)
                loss = loss + config.specialisation * specialisation_penalty(config, log_scores, domains[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    arrays = {name: tensor.detach().numpy().copy() for name, tensor in network.named_parameters()}
    return checked_weights(config, arrays, "training")


class ExpertDropping:
    """Which experts hear what in one training batch: all of them, each hidden state's best ones, or a random subset.

    An image keeps its rule through all layers; random subsets are drawn anew for every layer and hidden state, from a
    share of experts that is the image's.
    """

    def __init__(self, config: ClassifierConfig, batch: int, generator: np.random.Generator) -> None:
        rule = generator.random(batch)
        best = np.where(rule < config.full_share, config.experts, generator.integers(1, MOST_BEST + 1, batch))
        self._random = torch.from_numpy(rule >= (1 + config.full_share) / 2)[:, None, None]
        self._best = torch.from_numpy(best)[:, None, None]
        self._share = torch.from_numpy(generator.random((batch, 1, 1), dtype=np.float32))
        shape = (config.layers, batch, config.states, config.experts)
        self._draws = torch.from_numpy(generator.random(shape, dtype=np.float32))

    def __call__(self, layer: int, log_scores: Tensor) -> Tensor:
        """(B, N, K) bool, at least one expert of each hidden state."""
        ranks = log_scores.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
        draws = self._draws[layer]
        some = (draws < self._share) | (draws == draws.min(-1, keepdim=True).values)
        return torch.where(self._random, some, ranks < self._best)


def specialisation_penalty(config: ClassifierConfig, log_scores: list[Tensor], domains: Tensor) -> Tensor:
    """Cross-entropy of the gates to `domain_share` on the domain's expert, weighted by layer / L; their mean."""
    others = (1 - config.domain_share) / (config.experts - 1)
    target = torch.full((len(domains), config.experts), others)
    target[torch.arange(len(domains)), domains] = config.domain_share
    penalty = torch.zeros(())
    for layer, scores in enumerate(log_scores, 1):
        penalty = penalty - layer / config.layers * (target[:, None] * scores).sum(-1).mean()
    return penalty / config.layers

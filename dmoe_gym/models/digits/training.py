"""Training the classifier so that it degrades gracefully where schedulers leave experts out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from dmoe_gym.models.digits.config import ClassifierConfig
from dmoe_gym.models.digits.domains import DOMAINS, in_every_domain
from dmoe_gym.models.digits.images import LabelledImages, load_digits_split
from dmoe_gym.models.digits.network import Classifier
from dmoe_gym.models.digits.weights import Weights, checked_weights
from dmoe_gym.models.reproducible import reproducible

# Of images that do not hear every expert, one half hears the best 1 to this many.
MOST_BEST = 3


def train(
    config: ClassifierConfig | None = None, *, images: LabelledImages | None = None, progress: bool = False
) -> Weights:
    """Train on the digits' training part, every image in every domain, with new shifts and noise in every epoch.

    The same configuration and images give the same weights bit for bit on one machine and torch version.

    Args:
        config: sizes and training; `ClassifierConfig()` if None.
        images: what to train on instead.
        progress: show a progress bar.

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
        for _ in tqdm(range(config.epochs), desc="epochs", disable=not progress):
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

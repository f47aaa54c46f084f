"""Training selection networks through the frozen classifier: gradients of answers and energies, no rewards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from agents.importance.classifier import FrozenClassifier, spend
from agents.importance.network import PRICES, SelectionNetwork, keep_best, soften
from dmoe_gym.config import StrictConfig, list_as_tuple
from dmoe_gym.dmoe.inference import InferenceConfig, inference_scenario
from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.models.digits import DOMAINS
from dmoe_gym.models.digits.domains import in_every_domain
from dmoe_gym.models.digits.images import load_digits_split
from dmoe_gym.models.digits.training import reproducible

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class ImportanceConfig(StrictConfig):
    """One training of a selection network on the validation images, which the classifier has not learned by heart.

    Fields:
        scenario: of DMoE-Inference-v0; it fixes energies and the channel's mean.
        folds: parts of the validation images; member m of the network is trained on all parts but the m-th.
        steps, batch_size, learning_rate: of Adam; images per step and member.
        width: of the network's hidden layers.
        softness: of the step from a right answer to a wrong one: its price is charged in the share
            sigmoid(-margin / softness), margin being the right class's score less the best other's.
        seeds: of the published runs.
    """

    scenario: str = "digits"
    folds: Annotated[int, Field(ge=2)] = 5
    steps: Count = 600
    batch_size: Count = 384
    learning_rate: Positive = 5e-3
    width: Count = 64
    softness: Positive = 1.0
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    _list_as_tuple = field_validator("seeds", mode="before")(list_as_tuple)


def folds_of(config: ImportanceConfig, seed: int, images: int) -> np.ndarray:
    """(images,) the fold of every validation image, of nearly equal sizes; all domains of an image share it."""
    return np.random.default_rng([seed, 12]).permutation(images) % config.folds


def train_selection(
    config: ImportanceConfig, seed: int, report: Callable[[dict[str, float]], None] | None = None
) -> SelectionNetwork:
    """The network after the last step; nothing is picked by looking at results.

    Every image sits on a random node with random links: their best of M independent Rayleigh subcarriers, as where
    subcarriers abound; shifts and noise are new in every step. Selections are hard on the way forward and a sigmoid on
    the way back (straight-through), so the loss, price x softened share of wrong answers + energy, is differentiated
    through the classifier. The same configuration and seed give the same network bit for bit on one machine.
    """
    system = inference_scenario(config.scenario)
    images = load_digits_split().validation
    fold = folds_of(config, seed, len(images))
    others = [np.flatnonzero(fold != member) for member in range(config.folds)]
    generator = np.random.default_rng([seed, 11])
    batch = config.folds * config.batch_size
    with reproducible(seed):
        classifier = FrozenClassifier()
        sizes = classifier.config
        network = SelectionNetwork(sizes.layers, sizes.states, sizes.experts, config.width, config.folds)
        optimiser = torch.optim.Adam(network.parameters(), config.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, config.steps)
        for _ in range(config.steps):
            rows = np.concatenate([generator.choice(known, config.batch_size) for known in others])
            seen = in_every_domain(images.images[rows, 0], generator)
            patches = torch.from_numpy(seen[generator.integers(len(DOMAINS), size=batch), np.arange(batch)])
            node = generator.integers(system.num_experts, size=batch)
            energies = draw_energies(system, node, generator)
            price = np.exp(generator.uniform(np.log(PRICES[0]), np.log(PRICES[1]), batch)).astype(np.float32)
            class_scores, energy = differentiable_inference(
                classifier, network, patches, system, torch.from_numpy(node), energies, torch.from_numpy(price)
            )
            labels = torch.from_numpy(images.labels[rows])
            losses = selection_losses(class_scores, labels, energy, torch.from_numpy(price), config.softness)
            optimiser.zero_grad()
            # members share nothing: each has its own mean
            (losses.sum() / config.batch_size).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.folds**0.5)
            optimiser.step()
            schedule.step()
            if report is not None:
                wrong = (class_scores.argmax(-1) != labels).double().mean()
                report({"loss": losses.mean().item(), "energy": energy.mean().item(), "wrong": wrong.item()})
    return network.eval()


def selection_losses(class_scores: Tensor, labels: Tensor, energy: Tensor, price: Tensor, softness: float) -> Tensor:
    """(B,) price x softened wrongness + energy, scaled down where the price is large, that it not drown small ones."""
    doubt = torch.sigmoid(-margins(class_scores, labels) / softness)
    return (price * doubt + energy) / (10 + price).sqrt()


def margins(class_scores: Tensor, labels: Tensor) -> Tensor:
    """(B,) scores of the right classes less the best others'; above 0 where the answer is right."""
    right = labels[:, None]
    others = class_scores.scatter(1, right, -torch.inf).max(-1).values
    return class_scores.gather(1, right)[:, 0] - others


def draw_energies(system: InferenceConfig, node: np.ndarray, generator: np.random.Generator) -> Tensor:
    """Energies (L, B, K) of one hidden state of images on the nodes (B,) at every expert, layer by layer.

    Over the best of each link's subcarriers; in units of E_ref / (K N D), float32.
    """
    constants = Constants.of(system)
    shape = (system.num_layers, len(node), system.num_experts)
    gains = -np.log1p(-(generator.random(shape) ** (1 / system.num_subcarriers)))
    energies = constants.transmission / np.log2(1 + constants.snr_per_gain * gains)
    energies[:, np.arange(len(node)), node] = 0.0
    return torch.from_numpy((energies + constants.computation).astype(np.float32))


def differentiable_inference(
    classifier: FrozenClassifier,
    network: SelectionNetwork,
    patches: Tensor,
    system: InferenceConfig,
    node: Tensor,
    energies: Tensor,
    price: Tensor,
) -> tuple[Tensor, Tensor]:
    """Class scores (B, classes) and energies (B,) of whole inferences, in units of an episode's E_ref per node.

    Args:
        patches, node, energies, price: of the members' images one member after the other, of equal numbers.
    """
    split = (network.members, -1)

    def choose(layer: int, log_scores: Tensor) -> Tensor:
        logits = network(
            layer,
            node.unflatten(0, split),
            log_scores.detach().unflatten(0, split),
            energies[layer].unflatten(0, split),
            price.unflatten(0, split),
        ).flatten(0, 1)
        soft = soften(logits)
        return keep_best(logits.detach(), system.max_experts) + soft - soft.detach()

    class_scores, energy = spend(classifier, patches, energies, choose)
    return class_scores, energy / (system.num_states * system.max_experts)

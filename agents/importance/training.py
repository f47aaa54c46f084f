"""Training the selection network through the frozen classifier: gradients of answers and energies, no rewards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from agents.importance.network import PRICES, SelectionNetwork, keep_best, link_energies, soften
from dmoe_gym.config import StrictConfig, list_as_tuple
from dmoe_gym.digits import load_digits_split
from dmoe_gym.dmoe.inference import InferenceConfig, inference_scenario
from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.inference import DOMAINS, load_model
from dmoe_gym.inference.domains import in_every_domain
from dmoe_gym.inference.network import Classifier
from dmoe_gym.inference.training import reproducible

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class ImportanceConfig(StrictConfig):
    """One training of a selection network.

    Fields:
        scenario: of DMoE-Inference-v0; it fixes energies and the channel's mean.
        inputs: the images that it is trained on, in new shifts and noise every epoch.
        epochs, batch_size, learning_rate: passes over the images in every domain, images per step, of Adam.
        width: of the network's hidden layers.
        softness: of the step from a right answer to a wrong one: its price is charged in the share
            sigmoid(-margin / softness), margin being the right class's score less the best other's.
        noise: standard deviation of the noise on top of the inputs' own, in pixels from -1 to 1. The classifier knows
            its training images too well; noise makes it as unsure as of new ones.
        seeds: of the published runs.
    """

    scenario: str = "digits"
    inputs: Literal["train", "validation"] = "train"
    epochs: Count = 8
    batch_size: Count = 192
    learning_rate: Positive = 3e-3
    width: Count = 32
    softness: Positive = 2.0
    noise: Annotated[float, Field(ge=0)] = 0.35
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    _list_as_tuple = field_validator("seeds", mode="before")(list_as_tuple)


def train_selection(
    config: ImportanceConfig, seed: int, report: Callable[[dict[str, float]], None] | None = None
) -> SelectionNetwork:
    """The network after the last epoch; nothing is picked by looking at results.

    Every image sits on a random node with random links: their best of M independent Rayleigh subcarriers, as where
    subcarriers abound. Selections are hard on the way forward and a sigmoid on the way back (straight-through), so the
    loss, price x softened share of wrong answers + energy, is differentiated through the classifier. The same
    configuration and seed give the same network bit for bit on one machine.
    """
    system = inference_scenario(config.scenario)
    images = getattr(load_digits_split(), config.inputs)
    labels = torch.from_numpy(np.tile(images.labels, len(DOMAINS)))
    generator = np.random.default_rng([seed, 11])
    steps = config.epochs * -(-len(labels) // config.batch_size)
    with reproducible(seed):
        classifier = frozen_classifier()
        sizes = classifier.config
        network = SelectionNetwork(sizes.layers, sizes.states, sizes.experts, config.width)
        optimiser = torch.optim.Adam(network.parameters(), config.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, steps)
        for _ in range(config.epochs):
            seen = in_every_domain(images.images[:, 0], generator)
            seen = seen + np.float32(config.noise) * generator.standard_normal(seen.shape, dtype=np.float32)
            patches = torch.from_numpy(seen.reshape(-1, *seen.shape[2:]))
            sums = np.zeros(3)
            for rows in torch.from_numpy(generator.permutation(len(labels))).split(config.batch_size):
                round_ = draw_links(system, len(rows), generator)
                class_scores, energy = differentiable_inference(classifier, network, patches[rows], system, *round_)
                doubt = torch.sigmoid(-margins(class_scores, labels[rows]) / config.softness)
                price = round_[2]
                # large prices would drown small ones
                loss = ((price * doubt + energy) / (10 + price).sqrt()).mean()
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                wrong = (class_scores.argmax(-1) != labels[rows]).double().mean()
                sums += len(rows) * np.array([loss.item(), energy.mean().item(), wrong.item()])
            if report is not None:
                loss_mean, energy_mean, wrong_mean = (sums / len(labels)).tolist()
                report({"loss": loss_mean, "energy": energy_mean, "wrong": wrong_mean})
    return network.eval()


def margins(class_scores: Tensor, labels: Tensor) -> Tensor:
    """(B,) scores of the right classes less the best others'; above 0 where the answer is right."""
    right = labels[:, None]
    others = class_scores.scatter(1, right, -torch.inf).max(-1).values
    return class_scores.gather(1, right)[:, 0] - others


def frozen_classifier() -> Classifier:
    """The shipped classifier in torch."""
    model = load_model()
    classifier = Classifier(model.config)
    with torch.no_grad():
        for name, array in model.weights._asdict().items():
            getattr(classifier, name).copy_(torch.from_numpy(array.copy()))
    return classifier.requires_grad_(False)


def draw_links(system: InferenceConfig, batch: int, generator: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes (B,), energies of every layer's links (L, B, K), prices (B,) of a batch of images."""
    experts, layers = system.num_experts, system.num_layers
    node = generator.integers(experts, size=batch)
    uniform = generator.random((layers * batch, experts, experts))
    gains = -np.log1p(-(uniform ** (1 / system.num_subcarriers)))
    constants = Constants.of(system)
    computation = np.tile(constants.computation, (layers * batch, 1))
    energies = link_energies(np.log2(1 + constants.snr_per_gain * gains), computation, constants.transmission)
    own = energies.reshape(layers, batch, experts, experts)[:, np.arange(batch), node]
    price = np.exp(generator.uniform(np.log(PRICES[0]), np.log(PRICES[1]), batch))
    return torch.from_numpy(node), torch.from_numpy(own.copy()), torch.from_numpy(price.astype(np.float32))


def differentiable_inference(
    classifier: Classifier,
    network: SelectionNetwork,
    patches: Tensor,
    system: InferenceConfig,
    node: Tensor,
    energies: Tensor,
    price: Tensor,
) -> tuple[Tensor, Tensor]:
    """Class scores (B, classes) and energies (B,) of whole inferences, in units of an episode's E_ref per node."""
    spent: list[Any] = []

    def choose(layer: int, log_scores: Tensor) -> Tensor:
        scores = log_scores.exp()
        logits = network(torch.full_like(node, layer), node, scores.detach(), energies[layer], price)
        soft = soften(logits)
        hard = keep_best(logits.detach(), system.max_experts)
        heard = hard + soft - soft.detach()
        spent.append((heard * energies[layer][:, None]).sum((1, 2)))
        return heard

    class_scores, _ = classifier(patches, choose)
    return class_scores, torch.stack(spent).sum(0) / (system.num_states * system.max_experts)

"""What is decided on validation inputs: JESA's best (z, gamma) and the price at which a network is as accurate.

Every validation image in every domain is asked on every node, over links of its own: the same for every scheduler.
Links are at their best subcarriers, as where subcarriers abound, so that images do not depend on each other
and a network's member can be asked the images alone that it was not trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.importance.classifier import FrozenClassifier, spend
from agents.importance.network import SelectionNetwork
from agents.importance.training import ImportanceConfig, draw_energies, folds_of
from dmoe_gym.dmoe.inference import InferenceConfig, inference_scenario
from dmoe_gym.dmoe.solvers import solve_des
from dmoe_gym.evaluation.inference import ACCURACY, ENERGY, GAMMA_GRID, Z_GRID
from dmoe_gym.evaluation.run import Row
from dmoe_gym.inference import DOMAINS, load_inputs
from dmoe_gym.inference.training import reproducible

Choice = Callable[[int, Tensor], Tensor]
GRID = tuple((z, gamma) for gamma in GAMMA_GRID for z in Z_GRID)
# of the links
SEED = 77
# what a wrong answer costs, as told to a network: steps of about 15 % [E_ref]
PRICES = (
    15.0,
    17.0,
    20.0,
    23.0,
    26.0,
    30.0,
    34.0,
    39.0,
    45.0,
    52.0,
    60.0,
    69.0,
    79.0,
    91.0,
    105.0,
    120.0,
    140.0,
    160.0,
)


@dataclass(frozen=True)
class Questions:
    """B images with the links that they meet.

    Attributes:
        patches: (B, N, pixels); labels: (B,); image: (B,) which validation image it is.
        node: (B,); energies: (L, B, K) as `draw_energies` gives them.
    """

    system: InferenceConfig
    patches: Tensor
    labels: Tensor
    image: np.ndarray
    node: Tensor
    energies: Tensor

    def outcome(self, class_scores: Tensor, energy: Tensor) -> Row:
        """Mean energy per answer [mJ], accuracy, and cost per layer as the environment charges it."""
        system = self.system
        accuracy = float((class_scores.argmax(-1) == self.labels).double().mean())
        spent = float(energy.double().mean())
        wrong = system.wrong_answer_price * (1 - accuracy)
        return {
            "cost": (spent / (system.num_states * system.max_experts) + wrong) / system.num_layers,
            ENERGY: 1e3 * system.energy_unit_j * spent,
            ACCURACY: accuracy,
        }


def validation_questions(scenario: str) -> Questions:
    """Every validation image in every domain on every node."""
    system, inputs = inference_scenario(scenario), load_inputs("validation")
    images, repeats = len(inputs.labels), len(DOMAINS) * system.num_experts
    patches = torch.from_numpy(inputs.patches.reshape(-1, *inputs.patches.shape[2:]).copy())
    node = np.arange(system.num_experts).repeat(len(patches))
    energies = draw_energies(system, node, np.random.default_rng(SEED))
    labels, image = np.tile(inputs.labels, repeats), np.tile(np.arange(images), repeats)
    return Questions(
        system,
        patches.repeat(system.num_experts, 1, 1),
        torch.from_numpy(labels),
        image,
        torch.from_numpy(node),
        energies,
    )


def jesa_outcomes(
    questions: Questions,
    grid: Sequence[tuple[float, float]] = GRID,
    tick: Callable[[int], None] = lambda count: None,
) -> list[Row]:
    """A row per (z, gamma): JESA is DES where every link has its best subcarrier."""
    system, energies = questions.system, questions.energies.numpy()[:, :, None]

    def choose(z: float, gamma: float) -> Choice:
        def des(layer: int, log_scores: Tensor) -> Tensor:
            scores = log_scores.exp().numpy()
            costs = np.broadcast_to(energies[layer], scores.shape)
            return torch.from_numpy(solve_des(scores, costs, z * gamma ** (layer + 1), system.max_experts))

        return des

    rows = []
    with reproducible(0), torch.no_grad():
        classifier = FrozenClassifier()
        for z, gamma in grid:
            result = spend(classifier, questions.patches, questions.energies, choose(z, gamma))
            name = f"{'homogeneous' if gamma == 1 else 'JESA'} z={z:g} gamma={gamma:g}"
            rows.append({"policy": name, "importance_factor": gamma, **questions.outcome(*result)})
            tick(1)
    return rows


def out_of_fold_outcomes(
    questions: Questions, config: ImportanceConfig, seed: int, network: SelectionNetwork
) -> list[Row]:
    """A row per price: every image is decided by the member that was not trained on it."""
    fold = folds_of(config, seed, len(load_inputs("validation").labels))[questions.image]
    rows = []
    with reproducible(0), torch.no_grad():
        classifier = FrozenClassifier()
        class_scores = torch.empty(len(questions.labels), classifier.config.classes)
        energy = torch.empty(len(questions.labels))
        for price in PRICES:
            for part in range(config.folds):
                asked = torch.from_numpy(np.flatnonzero(fold == part))
                choose = _decided_by(network.member(part), questions, asked, price)
                class_scores[asked], energy[asked] = spend(
                    classifier, questions.patches[asked], questions.energies[:, asked], choose
                )
            rows.append({"price": price, **questions.outcome(class_scores, energy)})
    return rows


def _decided_by(network: SelectionNetwork, questions: Questions, asked: Tensor, price: float) -> Choice:
    node, energies, most = questions.node[asked], questions.energies[:, asked], questions.system.max_experts
    return lambda layer, log_scores: network.decide(layer, node, log_scores, energies[layer], price, most)


def best_of_every_gamma(rows: Sequence[Row]) -> list[Row]:
    """JESA's (z, gamma) of least cost for every gamma, the least of all first."""
    best = [
        min((row for row in rows if row["importance_factor"] == gamma), key=lambda row: row["cost"])
        for gamma in GAMMA_GRID
    ]
    return sorted(best, key=lambda row: row["cost"])


def as_accurate(rows: Sequence[Row], accuracy: float) -> float | None:
    """The price of least energy among those with at least this accuracy; None if there is none."""
    enough = [row for row in rows if row[ACCURACY] >= accuracy]
    return min(enough, key=lambda row: row[ENERGY])["price"] if enough else None

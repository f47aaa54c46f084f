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
from agents.importance.network import SelectionNetwork, keep_best
from agents.importance.training import ImportanceConfig, draw_energies, folds_of
from dmoe_gym.dmoe.inference import InferenceConfig, inference_scenario
from dmoe_gym.dmoe.solvers import solve_des
from dmoe_gym.evaluation.inference import ACCURACY, ENERGY, GAMMA_GRID, Z_GRID
from dmoe_gym.evaluation.run import Row
from dmoe_gym.models.digits import DOMAINS, load_inputs
from dmoe_gym.models.digits.training import reproducible

Choice = Callable[[int, Tensor], Tensor]
GRID = tuple((z, gamma) for gamma in GAMMA_GRID for z in Z_GRID)
# of the links
SEED = 77
# what a wrong answer costs, as told to a network: steps of about 15 % [E_ref]
PRICES = (15.0, 17.0, 20.0, 23.0, 26.0, 30.0, 34.0, 39.0, 45.0, 52.0, 60.0, 69.0, 79.0)


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
    """A row per price: every image is decided by the member that was not trained on it.

    Args:
        config, seed: that made the network.
    """
    fold = folds_of(config, seed, len(load_inputs("validation").labels))[questions.image]
    # (member, rows of the images that it was not trained on)
    unseen = [(network.member(part), torch.from_numpy(np.flatnonzero(fold == part))) for part in range(config.folds)]
    rows = []
    with reproducible(0), torch.no_grad():
        classifier = FrozenClassifier()
        for price in PRICES:
            dear = torch.full(questions.node.shape, price)

            def choose(layer: int, log_scores: Tensor, dear: Tensor = dear) -> Tensor:
                logits = torch.zeros_like(log_scores)
                energies = questions.energies[layer]
                for member, asked in unseen:
                    seen = (questions.node[asked], log_scores[asked], energies[asked], dear[asked])
                    logits[asked] = member(layer, *(each[None] for each in seen))[0]
                return keep_best(logits, questions.system.max_experts)

            result = spend(classifier, questions.patches, questions.energies, choose)
            rows.append({"price": price, **questions.outcome(*result)})
    return rows


def as_accurate(rows: Sequence[Row], accuracy: float) -> float | None:
    """The price of least energy among those with at least this accuracy; None if there is none."""
    enough = [row for row in rows if row[ACCURACY] >= accuracy]
    return min(enough, key=lambda row: row[ENERGY])["price"] if enough else None

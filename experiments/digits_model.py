"""The classifier of digits that the package ships: its training, its accuracy, its gate scores by domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from dmoe_gym.evaluation.table import markdown_table
from dmoe_gym.models.digits.data import DOMAINS, ClassifierConfig, load_inputs
from dmoe_gym.models.digits.model import InferenceModel, Rule, accuracy, best_experts, every_expert, infer
from dmoe_gym.models.digits.training import train
from dmoe_gym.models.digits.weights import to_bytes
from experiments.page import Page, gate_score_panels
from experiments.runner import Experiment, Piece

FILE = "dmoe_gym/models/digits/data/digits.safetensors"
PAGE, PICTURE = "docs/inference.md", "docs/images/inference_specialisation.png"
RULES: dict[str, Rule] = {
    "top-1": best_experts(1),
    "top-2": best_experts(2),
    "top-3": best_experts(3),
    "all experts": every_expert,
}


class DigitsModel(Experiment):
    """Trained in minutes of one core; the same bits on the machine that made the shipped file."""

    name: ClassVar[str] = "digits-model"
    about: ClassVar[str] = "the classifier of digits that the package ships"
    places: ClassVar[tuple[str, ...]] = (FILE, PAGE, PICTURE)

    def pieces(self) -> list[Piece]:
        return [Piece(trained_weights, {"config": ClassifierConfig().model_dump(mode="json")})]

    def page(self, values: Sequence[Any]) -> Page:
        config, (weights,) = ClassifierConfig(), values
        model = InferenceModel(config, weights)
        table = markdown_table(*accuracy_cells(model))
        _, scores = infer(model, load_inputs("test").patches, best_experts(2))
        return Page(
            {(PAGE, "inference-model"): table},
            {PICTURE: gate_score_panels(scores.mean((2, 3)), list(DOMAINS))},
            {FILE: to_bytes(config, weights)},
        )


def trained_weights(config: dict[str, Any]) -> Any:
    """The weights after training."""
    return train(ClassifierConfig(**config))


def accuracy_cells(model: InferenceModel) -> tuple[list[str], list[list[str]]]:
    """Accuracy [%] on test inputs per rule and domain, and their mean."""
    inputs = load_inputs("test")
    body = []
    for name, rule in RULES.items():
        shares = accuracy(model, inputs, rule)
        body.append([name, *(f"{100 * share:.1f}" for share in shares), f"{100 * shares.mean():.1f}"])
    return ["experts", *DOMAINS, "all domains"], body

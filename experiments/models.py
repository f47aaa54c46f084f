"""The models that the package ships, the classifier of digits and the language model: how right they are, by whom they
hear, and their gate scores by domain."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from dmoe_gym.evaluation.table import markdown_table
from dmoe_gym.models.digits.data import DOMAINS, ClassifierConfig, load_inputs
from dmoe_gym.models.digits.model import InferenceModel, Rule, accuracy, best_experts, every_expert, infer
from dmoe_gym.models.digits.training import train
from dmoe_gym.models.digits.weights import to_bytes
from dmoe_gym.models.language.families import FAMILIES
from dmoe_gym.models.language.source import SHIPPED, LanguageSource
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


LANGUAGE_PAGE, LANGUAGE_PICTURE = "docs/reports/language.md", "docs/images/language_specialisation.png"
TOP_2 = "top-2"
STARVED = tuple(f"layer {layer} starved" for layer in range(1, 7))
HEARD = ("top-1", TOP_2, "top-3", "all experts", "random expert", "worst expert", *STARVED)


class LanguageModel(Experiment):
    """The model is trained by `python -m experiments train-language`.

    Attributes:
        queries: test queries of every row.
    """

    name: ClassVar[str] = "language-model"
    about: ClassVar[str] = "the language model that the package ships"
    places: ClassVar[tuple[str, ...]] = (LANGUAGE_PAGE, LANGUAGE_PICTURE)
    queries: Annotated[int, Field(ge=10)] = 20_000

    def pieces(self) -> list[Piece]:
        weights = hashlib.sha256((SHIPPED / "model.safetensors").read_bytes()).hexdigest()
        return [Piece(rule_answers, {"rule": rule, "queries": self.queries, "weights": weights}) for rule in HEARD]

    def page(self, values: Sequence[Any]) -> Page:
        body = [
            [rule, *(f"{100 * share:.1f}" for share in shares), f"{100 * np.mean(shares):.1f}"]
            for rule, (shares, _) in zip(HEARD, values, strict=True)
        ]
        table = markdown_table(["heard", *FAMILIES, "all families"], body)
        scores = np.array(values[HEARD.index(TOP_2)][1])
        picture = gate_score_panels(scores, list(FAMILIES))
        return Page({(LANGUAGE_PAGE, "language-model"): table}, {LANGUAGE_PICTURE: picture})


def rule_answers(rule: str, queries: int, weights: str) -> tuple[list[float], list[Any]]:
    """Share of exact answers per family, and mean gate scores (L, families, K), where a rule says who is heard."""
    from dmoe_gym.models.language.accuracy import Rule as Choice
    from dmoe_gym.models.language.accuracy import answers, anyone, best, starved, worst

    model = LanguageSource().layered()
    words = rule.split()
    choose: dict[str, Callable[[], Choice]] = {
        "all": lambda: best(model.experts),
        "layer": lambda: starved(int(words[1])),
        "random": anyone,
        "worst": worst,
    }
    made = choose[words[0]]() if words[0] in choose else best(int(rule.removeprefix("top-")))
    shares, scores = answers(model, "test", queries, made)
    return shares.tolist(), scores.tolist()

"""The language model that the package ships: exact answers by family and by who is heard, gate scores by family."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from dmoe_gym.evaluation.table import markdown_table
from dmoe_gym.models.language.families import FAMILIES
from dmoe_gym.models.language.source import SHIPPED, LanguageSource
from experiments.page import Page, gate_score_panels
from experiments.runner import Experiment, Piece

PAGE, PICTURE = "docs/reports/language.md", "docs/images/language_specialisation.png"
TOP_2 = "top-2"
STARVED = tuple(f"layer {layer} starved" for layer in range(1, 7))
RULES = ("top-1", TOP_2, "top-3", "all experts", "random expert", "worst expert", *STARVED)


class LanguageModel(Experiment):
    """The model is trained by `python -m experiments train-language`.

    Attributes:
        queries: test queries of every row.
    """

    name: ClassVar[str] = "language-model"
    about: ClassVar[str] = "the language model that the package ships"
    places: ClassVar[tuple[str, ...]] = (PAGE, PICTURE)
    queries: Annotated[int, Field(ge=10)] = 20_000

    def pieces(self) -> list[Piece]:
        weights = hashlib.sha256((SHIPPED / "model.safetensors").read_bytes()).hexdigest()
        return [Piece(rule_answers, {"rule": rule, "queries": self.queries, "weights": weights}) for rule in RULES]

    def page(self, values: Sequence[Any]) -> Page:
        body = [
            [rule, *(f"{100 * share:.1f}" for share in shares), f"{100 * np.mean(shares):.1f}"]
            for rule, (shares, _) in zip(RULES, values, strict=True)
        ]
        table = markdown_table(["heard", *FAMILIES, "all families"], body)
        scores = np.array(values[RULES.index(TOP_2)][1])
        return Page({(PAGE, "language-model"): table}, {PICTURE: gate_score_panels(scores, list(FAMILIES))})


def rule_answers(rule: str, queries: int, weights: str) -> tuple[list[float], list[Any]]:
    """Share of exact answers per family, and mean gate scores (L, families, K), where a rule says who is heard."""
    from dmoe_gym.models.language.accuracy import Rule, answers, anyone, best, starved, worst

    model = LanguageSource().layered()
    words = rule.split()
    choose: dict[str, Callable[[], Rule]] = {
        "all": lambda: best(model.experts),
        "layer": lambda: starved(int(words[1])),
        "random": anyone,
        "worst": worst,
    }
    made = choose[words[0]]() if words[0] in choose else best(int(rule.removeprefix("top-")))
    shares, scores = answers(model, "test", queries, made)
    return shares.tolist(), scores.tolist()

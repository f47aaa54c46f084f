"""The project's own language model as a source of gate scores."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from dmoe_gym.models.causal.source import Asked, CausalSource, Questions, load_folder, read_sizes
from dmoe_gym.models.language.families import FAMILIES, MOST_TOKENS, Part, Queries, closing_window
from dmoe_gym.models.process import ModelSizes

if TYPE_CHECKING:
    from dmoe_gym.models.causal.layers import LayeredModel

# the model in transformers' own format
SHIPPED = Path(__file__).parent / "data"


class LanguageSource(CausalSource):
    """The shipped language model on generated queries; families are the domains.

    Attributes:
        inputs: the part that queries are of; agents and tuning take "train" or "validation".
    """

    kind: Literal["language"] = "language"
    inputs: Part = "test"

    def sizes(self) -> ModelSizes:
        sizes = read_sizes(SHIPPED)
        return ModelSizes(sizes.layers, sizes.experts, 1, MOST_TOKENS)

    def layered(self) -> LayeredModel:
        # stored in 16 bit, computed in 32: processors are slow at less
        return load_folder(SHIPPED, "float32")

    def questions(self) -> Questions:
        return _questions(self.inputs)


class GeneratedQuestions(Questions):
    """Windows that end with the query asked (`closing_window`), one of a family for every number there is."""

    domains = tuple(FAMILIES)
    length = MOST_TOKENS

    def __init__(self, part: Part) -> None:
        self.part = part

    def ask(self, domains: np.ndarray, numbers: np.ndarray) -> Asked:
        tokens = np.empty((len(domains), self.length + 1), np.int64)
        answered = np.empty((len(domains), self.length + 1), np.bool_)
        for row, (family, number) in enumerate(zip(domains, numbers, strict=True)):
            queries = Queries(self.part, int(number), block=64)
            tokens[row], answered[row] = closing_window(queries, int(family), self.length + 1)
        return Asked(tokens, answered, np.zeros(len(domains), np.int64))


@lru_cache
def _questions(part: Part) -> GeneratedQuestions:
    return GeneratedQuestions(part)

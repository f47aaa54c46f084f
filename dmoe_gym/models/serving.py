"""What every system shares that serves a real model: which model answers, and what its answers cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from dmoe_gym.config import SystemConfig, kind_alone, plain
from dmoe_gym.core import BatchedCore
from dmoe_gym.models.digits.relevance import ClassifierRelevanceConfig
from dmoe_gym.models.huggingface import HuggingFaceSource
from dmoe_gym.models.language.source import LanguageSource
from dmoe_gym.models.process import ModelRelevance, ModelSizes, ModelSource


class ServingConfig(SystemConfig):
    """Fields of a system that serves a model; it stands before the system's own configuration among the bases.

    Attributes:
        model: who answers: "digits" (the classifier), "language" (this project's own language model) or "hf:FOLDER",
            any mixture of experts that `dmoe_gym.models.huggingface` reads.
        prompts: what a model of a folder is asked, JSON lines (`dmoe_gym.models.huggingface`); None for others.
        wrong_answer_price: the cost of an episode's last round has wrong_answer_price * (share of the answers that are
            wrong) (this project's choice).
    """

    # the fields that the model decides where they are not given
    of_the_model: ClassVar[tuple[str, ...]]

    model: str
    prompts: str | None = None
    wrong_answer_price: Annotated[float, Field(ge=0, le=1e9)] = 50.0
    relevance: ModelSource

    @classmethod
    def sizes_of(cls, sizes: ModelSizes, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Values of `of_the_model` with a model of these sizes, where fields are given."""
        raise NotImplementedError

    @model_validator(mode="before")
    @classmethod
    def _of_the_model(cls, fields: Any) -> Any:
        """Gate scores, and the sizes that are not given, of the model named."""
        # runs before the validators that it inherits
        fields = plain(fields)
        if not isinstance(fields, dict):
            return fields
        model = fields.get("model", cls.model_fields["model"].default)
        source = named_model(model, fields.get("relevance"), fields.get("prompts"))
        return {**cls.sizes_of(source.sizes(), fields), **fields, "relevance": source}

    def replace(self, /, **overrides: Any) -> Self:
        """A copy with some fields replaced; with another `model` what the old one decided, its queries included, is
        not kept."""
        if "prompts" in overrides and self._keeps_model(overrides):
            # the rest of what is said of the source stays
            source = {name: value for name, value in self.relevance.model_dump().items() if name != "prompts"}
            overrides = {"relevance": source, **overrides}
        return super().replace(**overrides)

    def _decided_anew(self, overrides: Mapping[str, Any]) -> set[str]:
        of_the_old = set() if self._keeps_model(overrides) else {"prompts", "relevance", *self.of_the_model}
        return super()._decided_anew(overrides) | of_the_old

    def _keeps_model(self, overrides: Mapping[str, Any]) -> bool:
        return overrides.get("model", self.model) == self.model


class ServingCore(BatchedCore):
    """Rounds are a model's layers; this core stands before its system's own among the bases.

    Terms end with `correct`: in an episode's last round how right its answers are in the mean, before that 0.
    """

    config: ServingConfig

    def _answer(self, rows: np.ndarray, heard: np.ndarray, cost: np.ndarray, credit: np.ndarray | float = 0.0) -> None:
        """Let the experts heard answer, charge wrong answers beside the rest of the cost (rows,), and move on.

        Args:
            credit: what rewards count costs against, (rows,); nothing by default.
        """
        model: ModelRelevance = self.relevance  # type: ignore[attr-defined]  # the system's core has it
        model.hear(rows, heard)
        correct = np.zeros(len(rows))
        last = self.layer[rows] == self.rounds_per_episode
        if last.any():
            correct[last] = model.correct(rows[last])
            cost[last] += self.config.wrong_answer_price * (1 - correct[last])
        self.terms["cost"][rows] = cost
        self.terms["correct"][rows] = correct
        self.rewards[rows] = credit - cost
        self._finish_round(rows)

    def priced(self, row: int) -> tuple[float, float]:
        """The share of wrong answers, which an episode's last round gives, and their price."""
        wrong = 1 - float(self.terms["correct"][row]) if self.terminated[row] else 0.0
        return wrong, self.config.wrong_answer_price

    def metrics(self, means: dict[str, float]) -> dict[str, float]:
        """Adds accuracy, the share of right answers."""
        means = super().metrics(means)
        accuracy = means.pop("correct") * self.rounds_per_episode
        return {**means, "accuracy": accuracy}


FOLDER = "hf:"


def named_model(model: object, given: object = None, prompts: str | None = None) -> ModelSource:
    """The source of gate scores that a model's name stands for.

    Args:
        model: "digits", "language" or "hf:FOLDER".
        given: a source, its kind alone, or some of its fields, which must be of that model; None for its defaults.
        prompts: the file that a model of a folder is asked.

    Raises:
        ValueError: for an unknown model, or fields that are another model's.
    """
    known: dict[str, type[ModelSource]] = {"digits": ClassifierRelevanceConfig, "language": LanguageSource}
    fields: dict[str, Any] = {}
    if isinstance(model, str) and model.startswith(FOLDER):
        if prompts is None:
            raise ValueError(f"prompts = None: valid with model = {model!r} is a file of JSON lines")
        source: type[ModelSource] = HuggingFaceSource
        fields = {"folder": model.removeprefix(FOLDER), "prompts": prompts}
    elif isinstance(model, str) and model in known:
        source = known[model]
        if prompts is not None:
            raise ValueError(f"prompts = {prompts!r}: valid with model = {model!r} is None")
    else:
        raise ValueError(f"model = {model!r}: valid are {', '.join(known)} and {FOLDER}FOLDER")
    kind = source.model_fields["kind"].default
    given = kind_alone(given.model_dump() if isinstance(given, ModelSource) else {} if given is None else given)
    if not isinstance(given, dict) or given.get("kind", kind) != kind:
        raise ValueError(f"relevance = {given!r}: kind is {kind!r} with model = {model!r}")
    for name in fields.keys() & given.keys():
        if str(given[name]) != str(fields[name]):
            raise ValueError(f"relevance.{name} = {given[name]!r}: valid with model = {model!r} is {fields[name]!r}")
    return source(**{**fields, **given})

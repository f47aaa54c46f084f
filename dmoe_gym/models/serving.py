"""What every system shares that serves a real model: which model answers, and what its answers cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from dmoe_gym.config import SystemConfig
from dmoe_gym.core import BatchedCore
from dmoe_gym.models.catalogue import named_model
from dmoe_gym.models.process import ModelRelevance, ModelSizes, ModelSource


class ServingConfig(SystemConfig):
    """Fields of a system that serves a model; it stands before the system's own configuration among the bases.

    Attributes:
        model: who answers: "digits" (the classifier), "language" (this project's own language model) or "hf:FOLDER",
            any mixture of experts that `dmoe_gym.models.huggingface` reads.
        prompts: what a model of a folder is asked, JSON lines (`dmoe_gym.models.huggingface.prompts`); None for others.
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
        if not isinstance(fields, dict):
            return fields
        model = fields.get("model", cls.model_fields["model"].default)
        source = named_model(model, fields.get("relevance"), fields.get("prompts"))
        return {**cls.sizes_of(source.sizes(), fields), **fields, "relevance": source}

    def replace(self, **overrides: Any) -> Self:
        """A copy with some fields replaced; with another `model` what the old one decided, its queries included, is
        not kept."""
        if overrides.get("model", self.model) == self.model:
            return super().replace(**overrides)
        dropped = {"model", "prompts", "relevance", *self.of_the_model}
        kept = {name: getattr(self, name) for name in type(self).model_fields if name not in dropped}
        return type(self)(**{**kept, **overrides})


class ServingCore(BatchedCore):
    """A core whose rounds are a model's layers; it stands before the system's own core among the bases.

    Terms end with `correct`: in an episode's last round how right its answers are in the mean, before that 0.
    """

    config: ServingConfig

    def _answer(self, rows: np.ndarray, heard: np.ndarray, cost: np.ndarray) -> None:
        """Let the experts heard answer, charge wrong answers beside the rest of the cost (rows,), and move on."""
        model: ModelRelevance = self.relevance  # type: ignore[attr-defined]  # the system's core has it
        model.hear(rows, heard)
        correct = np.zeros(len(rows))
        last = self.layer[rows] == self.rounds_per_episode
        if last.any():
            correct[last] = model.correct(rows[last])
            cost[last] += self.config.wrong_answer_price * (1 - correct[last])
        self.terms["cost"][rows] = cost
        self.terms["correct"][rows] = correct
        self.rewards[rows] = -cost
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

"""Configurations of causal language models as sources of gate scores; torch is imported when a process is built."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from dmoe_gym.io.extras import needed_for
from dmoe_gym.models.causal.questions import Questions
from dmoe_gym.models.process import ModelRelevance, ModelSource

if TYPE_CHECKING:
    from dmoe_gym.models.causal.layers import LayeredModel


class CausalSource(ModelSource):
    """A source whose model is a causal language model; model and questions are loaded once per process."""

    @abstractmethod
    def layered(self) -> LayeredModel:
        """The model, kept by whoever loads it."""

    @abstractmethod
    def questions(self) -> Questions:
        """What it is asked, kept likewise."""

    def build(self, batch: int, nodes: int, states: int, experts: int) -> ModelRelevance:
        """The process for `batch` environments.

        Raises:
            ImportError: with the command that installs transformers, if it is missing.
            ValueError: if the model, the queries or the sizes do not fit.
        """
        with needed_for("a language model", "record"):
            from dmoe_gym.models.causal.process import CausalRelevance
        return CausalRelevance(batch, nodes, states, experts, self)

"""What every real model in the loop is to an environment: a source of gate scores that hears and answers."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from dmoe_gym.process import Generators, Rows
from dmoe_gym.relevance import RelevanceConfig, RelevanceProcess, Sizes


@dataclass(frozen=True)
class ModelSizes:
    """What a model has.

    Attributes:
        layers, experts: L and K.
        fewest_states, most_states: the hidden states per node that it can be asked about, N.
    """

    layers: int
    experts: int
    fewest_states: int
    most_states: int


class ModelSource(RelevanceConfig):
    """The configuration of a model in the loop."""

    @abstractmethod
    def sizes(self) -> ModelSizes:
        """The model's sizes, known without loading it."""

    @abstractmethod
    def build(self, batch: int, nodes: int, states: int, experts: int) -> ModelRelevance:
        """The process for `batch` environments."""

    def require_fit(self, sizes: Sizes) -> None:
        model = self.sizes()
        for field, given, valid in (
            (sizes.layer_field, sizes.layers, model.layers),
            (sizes.expert_field, sizes.experts, model.experts),
        ):
            if given != valid:
                raise ValueError(f"{field} = {given}: valid with this model is {valid}")
        if not model.fewest_states <= sizes.states <= model.most_states:
            valid_states = f"{model.fewest_states}"
            if model.most_states > model.fewest_states:
                valid_states += f" to {model.most_states}"
            raise ValueError(f"{sizes.state_field} = {sizes.states}: valid with this model is {valid_states}")


class ModelRelevance(RelevanceProcess):
    """Queries go through a model layer by layer, with the experts that were heard.

    `start` gives every node a query and opens the first layer, `hear` closes a layer, `advance` opens the next one, and
    after the last one `right` scores the answers. `gate_scores` are those of the current layer.
    """

    @abstractmethod
    def hear(self, rows: np.ndarray, heard: np.ndarray) -> None:
        """Add the answers of the experts heard, (batch, nodes, N, K) bool, to the hidden states of those rows."""

    @abstractmethod
    def right(self, rows: np.ndarray) -> np.ndarray:
        """(rows, nodes) how right each answer is from the hidden states as they are: 0 or 1, or its likelihood."""

    def correct(self, rows: np.ndarray) -> np.ndarray:
        """(rows,) mean over the nodes of how right their answers are."""
        return self.right(rows).mean(1)

    @abstractmethod
    def start(self, rows: Rows, generators: Generators) -> None:
        """Draw a query for every node and open the first layer."""

    @abstractmethod
    def advance(self, rows: Rows, generators: Generators) -> None:
        """Open the next layer; draws nothing."""

"""Gate scores from the classifier's own hidden states: what was heard in one layer shapes the scores of the next."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import serial_or_parallel
from dmoe_gym.models.digits.data import Part, load_inputs
from dmoe_gym.models.digits.model import aggregate_image, attend_image, classify_image, gate_image, load_model
from dmoe_gym.models.process import ModelRelevance, ModelSizes, ModelSource
from dmoe_gym.process import Generators, Rows

# images per round whose computation is worth about as much as one round of scheduling
_IMAGES_PER_ROUND = 8


class ClassifierRelevanceConfig(ModelSource):
    """The shipped classifier on digits.

    Attributes:
        inputs: the part of the digits that images are drawn from; agents and tuning take "train" or "validation".
    """

    kind: Literal["classifier"] = "classifier"
    inputs: Part = "test"

    def sizes(self) -> ModelSizes:
        sizes = load_model().config
        return ModelSizes(sizes.layers, sizes.experts, sizes.states, sizes.states)

    def build(self, batch: int, nodes: int, states: int, experts: int) -> ClassifierRelevance:
        """The process for `batch` environments.

        Raises:
            ValueError: if the model has other sizes.
        """
        return ClassifierRelevance(batch, nodes, states, experts, self)


class ClassifierRelevance(ModelRelevance):
    """Every node holds one image per episode, of a domain and a digit drawn uniformly; N of its patches.

    `gate_scores` are those of the current layer. `hear` says which experts answered in it, `advance` opens the next.

    Attributes:
        domains, images: (batch, nodes) int64, what every node holds, as indices into `load_inputs(config.inputs)`.
        hidden: (batch, nodes, N, d) float32 hidden states, after the current layer's attention.
        layer: (batch,) the current layer 1..L; L + 1 when the last one was left.
    """

    def __init__(self, batch: int, nodes: int, states: int, experts: int, config: ClassifierRelevanceConfig) -> None:
        model = load_model()
        for name, given, valid in (
            ("num_states", states, model.config.states),
            ("num_experts", experts, model.config.experts),
        ):
            if given != valid:
                raise ValueError(f"{name} = {given}: valid is {valid}, which the classifier has")
        super().__init__(batch, nodes, states, experts)
        self.config = config
        self.model = model
        self.inputs = load_inputs(config.inputs)
        self.images = np.zeros((batch, nodes), np.int64)
        self.hidden = np.zeros((batch, nodes, states, model.config.width), np.float32)
        self.layer = np.zeros(batch, np.int64)

    def __getstate__(self) -> dict[str, Any]:
        # model and inputs are the same in every process: copies name them instead of holding them
        return {name: value for name, value in self.__dict__.items() if name not in ("model", "inputs")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.model = load_model()
        self.inputs = load_inputs(self.config.inputs)

    def start(self, rows: Rows, generators: Generators) -> None:
        domains, images = self.inputs.patches.shape[:2]
        for row in rows:
            self.domains[row] = generators[row].integers(domains, size=self.domains.shape[1])
            self.images[row] = generators[row].integers(images, size=self.images.shape[1])
        self.hidden[rows] = self.model.embed(self.inputs.patches[self.domains[rows], self.images[rows]])
        self.layer[rows] = 0
        self.advance(rows, generators)

    def advance(self, rows: Rows, generators: Generators) -> None:
        self.layer[rows] += 1
        within = np.asarray(rows)[self.layer[rows] <= self.model.config.layers]
        if len(within):
            work = len(within) * self.domains.shape[1] / _IMAGES_PER_ROUND
            _open(work, within, self.layer, self.hidden, self.model.weights, self.gate_scores)

    def hear(self, rows: np.ndarray, heard: np.ndarray) -> None:
        """Add the answers of the experts heard (batch, nodes, N, K) in the current layer to the hidden states.

        Their gate scores are renormalised over them; a hidden state that no expert answers stays as it is.
        """
        work = len(rows) * self.domains.shape[1] / _IMAGES_PER_ROUND
        _close(work, rows, self.layer, self.hidden, self.model.weights, self.gate_scores, heard)

    def right(self, rows: np.ndarray) -> np.ndarray:
        right = np.zeros((len(rows), self.domains.shape[1]), np.bool_)
        work = len(rows) / _IMAGES_PER_ROUND
        _answer(work, rows, self.hidden, self.model.weights, self.inputs.labels, self.images, right)
        return right


@serial_or_parallel
def _open(rows, layers, hidden, weights, gate_scores):
    for position in prange(rows.shape[0]):
        row = rows[position]
        for node in range(hidden.shape[1]):
            attend_image(layers[row] - 1, hidden[row, node], weights)
            gate_image(layers[row] - 1, hidden[row, node], weights, gate_scores[row, node])


@serial_or_parallel
def _close(rows, layers, hidden, weights, gate_scores, heard):
    for position in prange(rows.shape[0]):
        row = rows[position]
        for node in range(hidden.shape[1]):
            aggregate_image(layers[row] - 1, hidden[row, node], weights, gate_scores[row, node], heard[row, node])


@serial_or_parallel
def _answer(rows, hidden, weights, labels, images, right):
    for position in prange(rows.shape[0]):
        row = rows[position]
        class_scores = np.empty(weights.head_bias.shape[0], np.float32)
        for node in range(hidden.shape[1]):
            classify_image(hidden[row, node], weights, class_scores)
            right[position, node] = class_scores.argmax() == labels[images[row, node]]

"""The trained classifier as schedulers' environments run it: layer by layer, with the experts that were heard."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from dmoe_gym.models.digits.config import ClassifierConfig
from dmoe_gym.models.digits.kernels import aggregate, attend_and_gate, classify_image
from dmoe_gym.models.digits.weights import SHIPPED, Weights, read_weights
from dmoe_gym.validation import checked_array, checked_bool_array


class InferenceModel:
    """A DMoE classifier without torch. Arrays have any leading axes; every image is computed on its own.

    One inference: `states = embed(patches)`; per layer 1..L `states, gate_scores = open_layer(layer, states)`, then
    `states = close_layer(layer, states, gate_scores, heard)` with the experts that a scheduler had answer; at the end
    `class_scores(states)`.

    Attributes:
        config: `ClassifierConfig`: layers L, experts K, states N, width d, classes, ...
        weights: `Weights`.
    """

    def __init__(self, config: ClassifierConfig, weights: Weights) -> None:
        self.config = config
        self.weights = weights

    def embed(self, patches: np.ndarray) -> np.ndarray:
        """Hidden states (..., N, d) float32 of images (..., N, pixels).

        Raises:
            ValueError: for another shape or numbers that are not finite.
        """
        config = self.config
        lead = np.shape(patches)[:-2]
        images = checked_array("patches", patches, (*lead, config.states, config.pixels), dtype=np.float32)
        # products one pixel after the other, so that no library chooses an order by the size of the batch
        states = np.broadcast_to(self.weights.position, (*lead, config.states, config.width)).copy()
        for pixel in range(config.pixels):
            states += images[..., pixel, None] * self.weights.embedding[pixel]
        return states

    def open_layer(self, layer: int, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Attention and gate of layer 1..L: the hidden states after attention and their gate scores (..., N, K).

        Raises:
            ValueError: for a layer that the model does not have, or another shape.
        """
        states = self._states(layer, states)
        flat = states.reshape(-1, *states.shape[-2:])
        scores = np.empty((*flat.shape[:2], self.config.experts), np.float32)
        attend_and_gate(len(flat) / 8, layer - 1, flat, self.weights, scores)
        return states, scores.reshape(*states.shape[:-1], -1)

    def close_layer(self, layer: int, states: np.ndarray, gate_scores: np.ndarray, heard: np.ndarray) -> np.ndarray:
        """Hidden states after the heard experts' answers, weighted by gate scores renormalised over those experts.

        A hidden state that no expert answers stays as it is.

        Args:
            states, gate_scores: as `open_layer` returned them.
            heard: (..., N, K) bool.

        Raises:
            ValueError: for a layer that the model does not have, or another shape.
        """
        states = self._states(layer, states)
        shape = (*states.shape[:-1], self.config.experts)
        scores = checked_array("gate_scores", gate_scores, shape, minimum=0.0, dtype=np.float32)
        answered = checked_bool_array("heard", heard, shape)
        inner = (-1, *shape[-2:])
        flat = states.reshape(-1, *states.shape[-2:])
        aggregate(len(flat) / 8, layer - 1, flat, self.weights, scores.reshape(inner), answered.reshape(inner))
        return states

    def class_scores(self, states: np.ndarray) -> np.ndarray:
        """(..., classes) float32 from the hidden states after the last layer."""
        states = self._states(1, states)
        flat = states.reshape(-1, *states.shape[-2:])
        scores = np.empty((len(flat), self.config.classes), np.float32)
        for image in range(len(flat)):
            classify_image(flat[image], self.weights, scores[image])
        return scores.reshape(*states.shape[:-2], -1)

    def _states(self, layer: int, states: np.ndarray) -> np.ndarray:
        """A copy, checked."""
        config = self.config
        if isinstance(layer, bool) or not isinstance(layer, int | np.integer) or not 1 <= layer <= config.layers:
            raise ValueError(f"layer = {layer!r}: valid are whole numbers from 1 to {config.layers}")
        lead = np.shape(states)[:-2]
        checked = checked_array("states", states, (*lead, config.states, config.width), dtype=np.float32)
        return np.array(checked)


@lru_cache(maxsize=4)
def load_model(path: Path | str = SHIPPED) -> InferenceModel:
    """The model of a file, by default the shipped one; read once per process.

    Raises:
        NoFileError, ImportError, ValueError: as `read_weights`.
    """
    return InferenceModel(*read_weights(path))

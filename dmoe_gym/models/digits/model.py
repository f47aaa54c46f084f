"""The trained classifier as schedulers' environments run it: layer by layer, with the experts that were heard."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit, serial_or_parallel
from dmoe_gym.config import checked_array, checked_bool_array
from dmoe_gym.models.digits.data import ClassifierConfig, Inputs
from dmoe_gym.models.digits.weights import EPSILON, Weights, read_weights


@njit
def _add_product(vector, matrix, result):
    """result (m,) += vector (n,) @ matrix (n, m)."""
    for k in range(vector.shape[0]):
        factor = vector[k]
        for column in range(result.shape[0]):
            result[column] += factor * matrix[k, column]


@njit
def _normalise(states, scale, seen):
    """Rows (N, d) divided by their root mean square, times the scale."""
    count, width = states.shape
    for n in range(count):
        total = 0.0
        for column in range(width):
            total += np.float64(states[n, column]) * states[n, column]
        factor = np.float32(1.0 / np.sqrt(total / width + EPSILON))
        for column in range(width):
            seen[n, column] = states[n, column] * factor * scale[column]


@njit
def _softmax(scores):
    """In place, a 64-bit vector."""
    largest = scores.max()
    total = 0.0
    for k in range(scores.shape[0]):
        scores[k] = np.exp(scores[k] - largest)
        total += scores[k]
    for k in range(scores.shape[0]):
        scores[k] /= total


@njit
def attend_image(layer, states, weights):
    """Attention among the hidden states (N, d) of one image, in place."""
    count, width = states.shape
    seen = np.empty((count, width), np.float32)
    query = np.zeros((count, width), np.float32)
    key = np.zeros((count, width), np.float32)
    value = np.zeros((count, width), np.float32)
    scores = np.empty(count)
    _normalise(states, weights.attention_scale[layer], seen)
    for n in range(count):
        _add_product(seen[n], weights.query[layer], query[n])
        _add_product(seen[n], weights.key[layer], key[n])
        _add_product(seen[n], weights.value[layer], value[n])
    for n in range(count):
        for other in range(count):
            total = 0.0
            for column in range(width):
                total += np.float64(query[n, column]) * key[other, column]
            scores[other] = total / np.sqrt(width)
        _softmax(scores)
        for other in range(count):
            share = np.float32(scores[other])
            for column in range(width):
                states[n, column] += share * value[other, column]


@njit
def gate_image(layer, states, weights, gate_scores):
    """Gate scores (N, K) of the hidden states (N, d) of one image, after attention."""
    count, width = states.shape
    seen = np.empty((count, width), np.float32)
    scores = np.empty(gate_scores.shape[1])
    _normalise(states, weights.expert_scale[layer], seen)
    for n in range(count):
        scores[:] = 0.0
        _add_product(seen[n], weights.gate[layer], scores)
        _softmax(scores)
        gate_scores[n] = scores


@njit
def aggregate_image(layer, states, weights, gate_scores, heard):
    """Add the heard experts' answers to the hidden states (N, d) of one image, in place.

    Gate scores are renormalised over the heard experts; a hidden state that no expert answers stays as it is.
    """
    count, width = states.shape
    seen = np.empty((count, width), np.float32)
    inside = np.empty(weights.inner.shape[3], np.float32)
    answer = np.empty(width, np.float32)
    _normalise(states, weights.expert_scale[layer], seen)
    for n in range(count):
        total = 0.0
        experts = 0
        for j in range(heard.shape[1]):
            if heard[n, j]:
                total += gate_scores[n, j]
                experts += 1
        for j in range(heard.shape[1]):
            if not heard[n, j]:
                continue
            inside[:] = weights.inner_bias[layer, j]
            _add_product(seen[n], weights.inner[layer, j], inside)
            for k in range(inside.shape[0]):
                inside[k] = max(inside[k], np.float32(0.0))
            answer[:] = weights.outer_bias[layer, j]
            _add_product(inside, weights.outer[layer, j], answer)
            # scores that all underflowed share evenly
            share = np.float32(gate_scores[n, j] / total if total > 0 else 1.0 / experts)
            for column in range(width):
                states[n, column] += share * answer[column]


@njit
def classify_image(states, weights, class_scores):
    """Class scores (classes,) from the hidden states (N, d) of one image after the last layer."""
    count, width = states.shape
    seen = np.empty((count, width), np.float32)
    mean = np.zeros(width, np.float32)
    _normalise(states, weights.head_scale, seen)
    for n in range(count):
        for column in range(width):
            mean[column] += seen[n, column] / np.float32(count)
    class_scores[:] = weights.head_bias
    _add_product(mean, weights.head, class_scores)


@serial_or_parallel
def attend_and_gate(layer, states, weights, gate_scores):
    """For images (B, N, d), states in place, gate scores (B, N, K) out."""
    for image in prange(states.shape[0]):
        attend_image(layer, states[image], weights)
        gate_image(layer, states[image], weights, gate_scores[image])


@serial_or_parallel
def aggregate(layer, states, weights, gate_scores, heard):
    """For images (B, N, d), in place."""
    for image in prange(states.shape[0]):
        aggregate_image(layer, states[image], weights, gate_scores[image], heard[image])


# (layer 1..L, gate scores (..., N, K)) to the heard experts (..., N, K) bool
Rule = Callable[[int, np.ndarray], np.ndarray]


def every_expert(layer: int, gate_scores: np.ndarray) -> np.ndarray:
    """All experts."""
    return np.ones(gate_scores.shape, np.bool_)


def best_experts(count: int) -> Rule:
    """The `count` best gate scores of every hidden state."""

    def choose(layer: int, gate_scores: np.ndarray) -> np.ndarray:
        return np.argsort(np.argsort(-gate_scores, axis=-1, kind="stable"), axis=-1) < count

    return choose


def infer(model: InferenceModel, patches: np.ndarray, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """Class scores (..., classes) of images (..., N, pixels), and every layer's gate scores (L, ..., N, K)."""
    states = model.embed(patches)
    gate_scores = []
    for layer in range(1, model.config.layers + 1):
        states, scores = model.open_layer(layer, states)
        gate_scores.append(scores)
        states = model.close_layer(layer, states, scores, rule(layer, scores))
    return model.class_scores(states), np.stack(gate_scores)


def accuracy(model: InferenceModel, inputs: Inputs, rule: Rule) -> np.ndarray:
    """(domains,) share of right answers."""
    scores, _ = infer(model, inputs.patches, rule)
    return (scores.argmax(-1) == inputs.labels).mean(-1)


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


@cache
def load_model() -> InferenceModel:
    """The shipped model; read once per process."""
    return InferenceModel(*read_weights())

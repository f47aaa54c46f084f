"""The classifier's formulas compiled, one image after the other: the same bits in every batch size and facade."""

from __future__ import annotations

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit
from dmoe_gym.compiled.threads import serial_or_parallel
from dmoe_gym.models.digits.weights import EPSILON


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

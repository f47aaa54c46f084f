"""Whole inferences under a fixed rule of selection, without any network between the nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dmoe_gym.models.digits.inputs import Inputs
from dmoe_gym.models.digits.model import InferenceModel

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

"""Exact answers of the language model under fixed rules of who is heard, without any network between the nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dmoe_gym.models.causal.layers import LayeredModel, top_experts
from dmoe_gym.models.language.families import FAMILIES, Part
from dmoe_gym.models.language.source import GeneratedQuestions
from dmoe_gym.models.language.windows import families_in_turn

# (layer 1..L, gate scores (B, T, K)) to who is heard (B, T, K) bool
Rule = Callable[[int, Tensor], Tensor]

_AT_ONCE = 500


def best(count: int) -> Rule:
    """The `count` best of every hidden state."""
    return lambda _layer, scores: top_experts(scores, count)


def starved(layer: int, seed: int = 0) -> Rule:
    """The two best, but in one layer one expert drawn uniformly, whatever its gate score."""
    generator = torch.Generator().manual_seed(seed)

    def choose(current: int, scores: Tensor) -> Tensor:
        if current == layer:
            scores = torch.rand(scores.shape, generator=generator)
        return top_experts(scores, 1 if current == layer else 2)

    return choose


def answers(model: LayeredModel, part: Part, queries: int, rule: Rule, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Share of exact answers per family, (families,), and mean gate scores (L, families, K)."""
    families = families_in_turn(queries)
    asked = GeneratedQuestions(part).ask(families, seed * queries + np.arange(queries))
    right = np.zeros(queries, np.bool_)
    scores_of = np.zeros((model.layers, len(FAMILIES), model.experts))
    for start in range(0, queries, _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        tokens, answered = torch.from_numpy(asked.tokens[some]), torch.from_numpy(asked.answered[some])
        hidden = model.embed(tokens[:, :-1])
        for layer in range(1, model.layers + 1):
            hidden, scores = model.open_layer(layer, hidden)
            np.add.at(scores_of[layer - 1], families[some], scores.mean(1).numpy())
            hidden = model.close_layer(layer, hidden, rule(layer, scores))
        likeliest = model.logits(hidden).argmax(-1)
        right[some] = ((likeliest == tokens[:, 1:]) | ~answered[:, 1:]).all(-1).numpy()
    counts = np.bincount(families, minlength=len(FAMILIES))
    return np.bincount(families, right, minlength=len(FAMILIES)) / counts, scores_of / counts[:, None]

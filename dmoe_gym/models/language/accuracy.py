"""Exact answers of the language model under fixed rules of who is heard, without any network between the nodes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dmoe_gym.models.causal.layers import LayeredModel, top_experts
from dmoe_gym.models.language.families import FAMILIES, Part, families_in_turn
from dmoe_gym.models.language.source import GeneratedQuestions

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


def anyone(seed: int = 0) -> Rule:
    """One expert drawn uniformly in every layer, whatever the gate scores."""
    generator = torch.Generator().manual_seed(seed)
    return lambda _layer, scores: top_experts(torch.rand(scores.shape, generator=generator), 1)


def worst() -> Rule:
    """The one of least gate score in every layer."""
    return lambda _layer, scores: top_experts(-scores, 1)


def infer(model: LayeredModel, tokens: np.ndarray, rule: Rule) -> tuple[Tensor, Tensor]:
    """Logits (B, T, vocabulary) after tokens (B, T), and every layer's gate scores (L, B, T, K)."""
    hidden = model.embed(torch.from_numpy(tokens))
    kept = []
    for layer in range(1, model.layers + 1):
        hidden, scores = model.open_layer(layer, hidden)
        kept.append(scores)
        hidden = model.close_layer(layer, hidden, scores, rule(layer, scores))
    return model.logits(hidden), torch.stack(kept)


def answers(model: LayeredModel, part: Part, queries: int, rule: Rule, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Share of exact answers per family, (families,), and mean gate scores (L, families, K)."""
    families = families_in_turn(queries)
    asked = GeneratedQuestions(part).ask(families, seed * queries + np.arange(queries))
    right = np.zeros(queries, np.bool_)
    sums = np.zeros((len(FAMILIES), model.layers, model.experts))
    for start in range(0, queries, _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        tokens, answered = asked.tokens[some], asked.answered[some, 1:]
        logits, scores = infer(model, tokens[:, :-1], rule)
        right[some] = ((logits.argmax(-1).numpy() == tokens[:, 1:]) | ~answered).all(-1)
        np.add.at(sums, families[some], scores.mean(2).transpose(0, 1).numpy())
    counts = np.bincount(families, minlength=len(FAMILIES))
    means = sums / counts[:, None, None]
    return np.bincount(families, right, minlength=len(FAMILIES)) / counts, means.transpose(1, 0, 2)

"""A trace whose every number tells where it stands."""

from __future__ import annotations

import numpy as np

from dmoe_gym.relevance import Trace

LAYERS, EXPERTS = 3, 4
COUNTS = (5, 7, 4)  # tokens of every domain


def make_trace(
    layers: int = LAYERS, experts: int = EXPERTS, counts: tuple[int, ...] = COUNTS, tokens_per_input: int = 1
) -> Trace:
    """Random scores, no two tokens alike."""
    tokens = sum(counts)
    scores = np.random.default_rng(7).dirichlet(np.ones(experts), (layers, tokens)).astype(np.float32)
    names = tuple(f"domain {index}" for index in range(len(counts)))
    domains = np.repeat(np.arange(len(counts)), counts)
    return Trace(scores, domains, names, "a model", {"command": "a test"}, tokens_per_input)

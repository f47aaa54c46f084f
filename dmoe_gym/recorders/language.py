"""`python -m experiments record-language`: record the gate scores of the project's own language model."""

from __future__ import annotations

import hashlib

import numpy as np

from dmoe_gym.models.language.families import FAMILIES, MOST_TOKENS, Part
from dmoe_gym.models.language.source import SHIPPED, LanguageSource
from dmoe_gym.recorders.versions import record_command, versions
from dmoe_gym.relevance import Trace

# Queries per family of the trace that comes with the package: it stays under 300 kB.
QUERIES = 10


def record_language(part: Part = "test", queries: int = QUERIES, experts: int = 2) -> Trace:
    """Gate scores of the shipped language model; a token is one of the 16 that end with a query.

    Every layer hears the best `experts` experts of each hidden state, so scores of later layers are those of a model
    that is served this way.

    Args:
        part: of the queries.
        queries: how many per family, those of the numbers from 0 on.
        experts: heard per hidden state.

    Raises:
        ValueError: for an unknown part, or fewer queries or other experts than there may be.
    """
    from dmoe_gym.models.language.accuracy import best, infer

    source = LanguageSource(inputs=part)
    model = source.layered()
    for name, given, most in (("queries", queries, None), ("experts", experts, model.experts)):
        if given < 1 or (most is not None and given > most):
            valid = "at least 1" if most is None else f"from 1 to {most}"
            raise ValueError(f"{name} = {given}: valid are whole numbers {valid}")
    families = np.repeat(np.arange(len(FAMILIES)), queries)
    asked = source.questions().ask(families, np.tile(np.arange(queries), len(FAMILIES)))
    _, scores = infer(model, asked.tokens[:, :-1], best(experts))
    digest = hashlib.sha256((SHIPPED / "model.safetensors").read_bytes()).hexdigest()
    return Trace(
        np.ascontiguousarray(scores.flatten(1, 2).numpy()),
        np.repeat(families, MOST_TOKENS),
        tuple(FAMILIES),
        f"dmoe_gym language model, model.safetensors, sha256 {digest[:16]}",
        {
            "command": f"python -m experiments record-language --part {part} --queries {queries} --experts {experts}",
            "data": f"generated queries, part {part!r}, {queries} per family, {MOST_TOKENS} tokens each",
            "heard": f"the best {experts} experts of every hidden state in every layer",
            "versions": versions("numpy", "torch", "transformers"),
        },
        tokens_per_input=MOST_TOKENS,
    )


record_language_command = record_command(
    record_language, "Record the gate scores of the project's own language model.", "queries", QUERIES
)

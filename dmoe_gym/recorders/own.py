"""`python -m experiments record-digits` and `record-language`: the gate scores of the project's own models.

Every layer hears the best experts of each hidden state, so scores of later layers are those of a model that is served
this way.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from dmoe_gym.models.digits import DOMAINS, load_inputs, load_model
from dmoe_gym.models.digits.data import Part
from dmoe_gym.models.digits.model import best_experts, infer
from dmoe_gym.models.digits.weights import SHIPPED as DIGITS
from dmoe_gym.models.language.families import FAMILIES, MOST_TOKENS
from dmoe_gym.models.language.source import SHIPPED as LANGUAGE
from dmoe_gym.models.language.source import LanguageSource
from dmoe_gym.recorders import record_command, versions
from dmoe_gym.relevance import Trace

# Images and queries per domain of the traces that come with the package: they stay under 300 kB.
IMAGES, QUERIES = 80, 10
HEARD = "the best {} experts of every hidden state in every layer"


def _model(what: str, file: Path) -> str:
    return f"dmoe_gym {what}, {file.name}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"


def record_digits(part: Part = "test", images: int = IMAGES, experts: int = 2) -> Trace:
    """Gate scores of the shipped classifier; a token is one of an image's four patches.

    Args:
        part: of the digits.
        images: how many per domain, the part's first ones.
        experts: heard per hidden state.

    Raises:
        ValueError: for more images or experts than there are.
    """
    model, inputs = load_model(), load_inputs(part)
    for name, given, most in (
        ("images", images, inputs.patches.shape[1]),
        ("experts", experts, model.config.experts),
    ):
        if not 1 <= given <= most:
            raise ValueError(f"{name} = {given}: valid are whole numbers from 1 to {most}")
    _, scores = infer(model, inputs.patches[:, :images], best_experts(experts))
    layers, domains, _, states, _ = scores.shape
    return Trace(
        np.ascontiguousarray(scores.reshape(layers, domains * images * states, model.config.experts)),
        np.repeat(np.arange(domains), images * states),
        tuple(DOMAINS),
        _model("classifier of multi-domain digits", DIGITS),
        {
            "command": f"python -m experiments record-digits --part {part} --images {images} --experts {experts}",
            "data": f"scikit-learn's digits, part {part!r}, first {images} images in every domain, 4 patches each",
            "heard": HEARD.format(experts),
            "versions": versions("numpy", "scikit-learn"),
        },
        tokens_per_input=states,
    )


def record_language(part: Part = "test", queries: int = QUERIES, experts: int = 2) -> Trace:
    """Gate scores of the shipped language model; a token is one of the 16 that end with a query.

    Args:
        part: of the queries.
        queries: how many per family, those of the numbers from 0 on.
        experts: heard per hidden state.

    Raises:
        ValueError: for an unknown part, or fewer queries or other experts than there may be.
    """
    from dmoe_gym.models.language import accuracy

    source = LanguageSource(inputs=part)
    model = source.layered()
    for name, given, most in (("queries", queries, None), ("experts", experts, model.experts)):
        if given < 1 or (most is not None and given > most):
            valid = "at least 1" if most is None else f"from 1 to {most}"
            raise ValueError(f"{name} = {given}: valid are whole numbers {valid}")
    families = np.repeat(np.arange(len(FAMILIES)), queries)
    asked = source.questions().ask(families, np.tile(np.arange(queries), len(FAMILIES)))
    _, scores = accuracy.infer(model, asked.tokens[:, :-1], accuracy.best(experts))
    return Trace(
        np.ascontiguousarray(scores.flatten(1, 2).numpy()),
        np.repeat(families, MOST_TOKENS),
        tuple(FAMILIES),
        _model("language model", LANGUAGE / "model.safetensors"),
        {
            "command": f"python -m experiments record-language --part {part} --queries {queries} --experts {experts}",
            "data": f"generated queries, part {part!r}, {queries} per family, {MOST_TOKENS} tokens each",
            "heard": HEARD.format(experts),
            "versions": versions("numpy", "torch", "transformers"),
        },
        tokens_per_input=MOST_TOKENS,
    )


record_digits_command = record_command(
    record_digits, "Record the gate scores of the project's own DMoE classifier of digits.", "images", IMAGES
)
record_language_command = record_command(
    record_language, "Record the gate scores of the project's own language model.", "queries", QUERIES
)

"""`python -m experiments record-digits`: record the gate scores of the project's own DMoE classifier of digits."""

from __future__ import annotations

import hashlib

import numpy as np

from dmoe_gym.models.digits import DOMAINS, load_inputs, load_model
from dmoe_gym.models.digits.data import Part
from dmoe_gym.models.digits.model import best_experts, infer
from dmoe_gym.models.digits.weights import SHIPPED
from dmoe_gym.recorders.versions import record_command, versions
from dmoe_gym.relevance import Trace

# Images per domain of the trace that comes with the package: it stays under 300 kB.
IMAGES = 80


def record_digits(part: Part = "test", images: int = IMAGES, experts: int = 2) -> Trace:
    """Gate scores of the shipped classifier.

    A token is one of an image's four patches. Every layer hears the best `experts` experts of each hidden state, so
    scores of later layers are those of a model that is served this way.

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
    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    return Trace(
        np.ascontiguousarray(scores.reshape(layers, domains * images * states, model.config.experts)),
        np.repeat(np.arange(domains), images * states),
        tuple(DOMAINS),
        f"dmoe_gym classifier of multi-domain digits, {SHIPPED.name}, sha256 {digest[:16]}",
        {
            "command": f"python -m experiments record-digits --part {part} --images {images} --experts {experts}",
            "data": f"scikit-learn's digits, part {part!r}, first {images} images in every domain, 4 patches each",
            "heard": f"the best {experts} experts of every hidden state in every layer",
            "versions": versions("numpy", "scikit-learn"),
        },
        tokens_per_input=states,
    )


record_digits_command = record_command(
    record_digits, "Record the gate scores of the project's own DMoE classifier of digits.", "images", IMAGES
)

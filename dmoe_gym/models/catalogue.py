"""Which real models there are, and how they are named."""

from __future__ import annotations

from typing import Any

from dmoe_gym.models.digits.relevance import ClassifierRelevanceConfig
from dmoe_gym.models.huggingface.source import HuggingFaceSource
from dmoe_gym.models.language.source import LanguageSource
from dmoe_gym.models.process import ModelSource

FOLDER = "hf:"


def named_model(model: object, given: object = None, prompts: str | None = None) -> ModelSource:
    """The source of gate scores that a model's name stands for.

    Args:
        model: "digits", "language" or "hf:FOLDER".
        given: a source, its kind alone, or some of its fields, which must be of that model; None for its defaults.
        prompts: the file that a model of a folder is asked.

    Raises:
        ValueError: for an unknown model, or fields that are another model's.
    """
    made: dict[str, tuple[type[ModelSource], dict[str, Any]]] = {
        "digits": (ClassifierRelevanceConfig, {}),
        "language": (LanguageSource, {}),
    }
    source: type[ModelSource]
    if isinstance(model, str) and model.startswith(FOLDER):
        if prompts is None:
            raise ValueError(f"prompts = None: valid with model = {model!r} is a file of JSON lines")
        source, fields = HuggingFaceSource, {"folder": model.removeprefix(FOLDER), "prompts": prompts}
    elif isinstance(model, str) and model in made:
        source, fields = made[model]
        if prompts is not None:
            raise ValueError(f"prompts = {prompts!r}: valid with model = {model!r} is None")
    else:
        raise ValueError(f"model = {model!r}: valid are {', '.join(made)} and {FOLDER}FOLDER")
    kind = source.model_fields["kind"].default
    if isinstance(given, ModelSource):
        given = given.model_dump()
    if isinstance(given, str):
        given = {"kind": given}
    if given is None:
        given = {}
    if not isinstance(given, dict) or given.get("kind", kind) != kind:
        raise ValueError(f"relevance = {given!r}: kind is {kind!r} with model = {model!r}")
    return source(**{**fields, **given})

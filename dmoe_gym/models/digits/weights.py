"""The classifier's parameters: their names and shapes, and how they are read from disk."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dmoe_gym.io.files import model_bytes, read_model_file
from dmoe_gym.models.digits.data import ClassifierConfig

FORMAT = "dmoe_gym.inference.Classifier/1"
SHIPPED = Path(__file__).parent / "data" / "digits.safetensors"
# added to the mean square before its root is taken
EPSILON = 1e-6


class Weights(NamedTuple):
    """All parameters, float32; L layers, K experts, d = width, h = hidden."""

    embedding: np.ndarray  # (pixels, d)
    position: np.ndarray  # (N, d)
    attention_scale: np.ndarray  # (L, d)
    query: np.ndarray  # (L, d, d)
    key: np.ndarray  # (L, d, d)
    value: np.ndarray  # (L, d, d)
    expert_scale: np.ndarray  # (L, d)
    gate: np.ndarray  # (L, d, K)
    inner: np.ndarray  # (L, K, d, h)
    inner_bias: np.ndarray  # (L, K, h)
    outer: np.ndarray  # (L, K, h, d)
    outer_bias: np.ndarray  # (L, K, d)
    head_scale: np.ndarray  # (d,)
    head: np.ndarray  # (d, classes)
    head_bias: np.ndarray  # (classes,)


def shapes(config: ClassifierConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter, in the order of `Weights`."""
    layers, experts, width, hidden = config.layers, config.experts, config.width, config.hidden
    square = (layers, width, width)
    return {
        "embedding": (config.pixels, width),
        "position": (config.states, width),
        "attention_scale": (layers, width),
        "query": square,
        "key": square,
        "value": square,
        "expert_scale": (layers, width),
        "gate": (layers, width, experts),
        "inner": (layers, experts, width, hidden),
        "inner_bias": (layers, experts, hidden),
        "outer": (layers, experts, hidden, width),
        "outer_bias": (layers, experts, width),
        "head_scale": (width,),
        "head": (width, config.classes),
        "head_bias": (config.classes,),
    }


def to_bytes(config: ClassifierConfig, weights: Weights) -> bytes:
    """The content of a model file."""
    return model_bytes(FORMAT, config.model_dump(), weights._asdict())


def read_weights(path: Path | str = SHIPPED) -> tuple[ClassifierConfig, Weights]:
    """Configuration and parameters of a model file; nothing in it is run.

    Raises:
        NoFileError, ImportError, ValueError: as `read_model_file`.
        ValueError: one line, for weights that do not fit the configuration.
    """
    stored, arrays = read_model_file(path, FORMAT)
    try:
        config = ClassifierConfig(**stored)
    except (TypeError, ValueError) as error:
        raise ValueError(f"path = {str(path)!r}: its configuration is not readable ({error})") from None
    return config, checked_weights(config, arrays, str(path))


def checked_weights(config: ClassifierConfig, arrays: dict[str, np.ndarray], where: str) -> Weights:
    """The arrays as `Weights`, read-only.

    Raises:
        ValueError: for missing, unknown or misshapen arrays, or another type than float32.
    """
    expected = shapes(config)
    if arrays.keys() != expected.keys():
        names = sorted(arrays.keys() ^ expected.keys())
        raise ValueError(f"path = {where!r}: {names[0]!r} is missing or unknown; valid are {', '.join(expected)}")
    for name, shape in expected.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.float32:
            raise ValueError(f"path = {where!r}: {name} is {array.dtype} {array.shape}, valid is float32 {shape}")
        array.setflags(write=False)
    return Weights(**{name: np.ascontiguousarray(arrays[name]) for name in expected})

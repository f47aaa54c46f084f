"""Auxiliary classifiers: each has not seen one part of the training images, which makes that part new to it.

The shipped classifier answers its own training images better than others, so they say less about whom an unseen image
needs. Experts have the same roles in all classifiers, for gates are trained towards the image's domain: a
selection learned with one classifier means something to the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.importance.classifier import FrozenClassifier
from dmoe_gym.digits import LabelledImages, load_digits_split
from dmoe_gym.files import write_json, write_whole
from dmoe_gym.inference.config import ClassifierConfig
from dmoe_gym.inference.training import train
from dmoe_gym.inference.weights import Weights, read_weights, to_bytes
from dmoe_gym.provenance import provenance


@dataclass(frozen=True)
class Source:
    """A classifier and images that it has not seen."""

    classifier: FrozenClassifier
    images: LabelledImages


def auxiliary_sources(
    parts: int, folder: Path, command: str, tick: Callable[[int], None] = lambda count: None
) -> list[Source]:
    """One per part of the training images, trained as the shipped classifier on all other parts.

    Args:
        parts: how many.
        folder: where they are kept; what is there is read, what is missing is trained, under half a minute each.
        command: that asked for them, for their provenance.

    Raises:
        ValueError: for a damaged file, or one of another configuration than the shipped classifier's.
    """
    config, sources = ClassifierConfig(), []
    images = load_digits_split().train
    part_of = training_parts(parts, len(images))
    for part in range(parts):
        path = folder / f"without-{part}-of-{parts}.safetensors"
        if not path.exists():
            write_json(path.with_suffix(".json"), provenance(command))
            write_whole(path, to_bytes(config, train(config, images=_rows(images, part_of != part))))
        sources.append(Source(FrozenClassifier(config, _read(path, config)), _rows(images, part_of == part)))
        tick(1)
    return sources


def training_parts(parts: int, images: int) -> np.ndarray:
    """(images,) the part of every training image, of nearly equal sizes; the same for every seed."""
    return np.random.default_rng([ClassifierConfig().seed, parts]).permutation(images) % parts


def _rows(images: LabelledImages, chosen: np.ndarray) -> LabelledImages:
    return LabelledImages(images.images[chosen], images.labels[chosen])


def _read(path: Path, expected: ClassifierConfig) -> Weights:
    config, weights = read_weights(path)
    if config != expected:
        raise ValueError(f"path = {str(path)!r}: holds a classifier of another configuration than the shipped one's")
    return weights

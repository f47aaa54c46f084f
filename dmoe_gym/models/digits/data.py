"""Sizes of the DMoE classifier and how it is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Literal, get_args

import numpy as np
from pydantic import Field

from dmoe_gym.config import StrictConfig

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class ClassifierConfig(StrictConfig):
    """A classifier of multi-domain digits made of DMoE layers (this project's choice throughout).

    Attributes:
        layers: L, attention and experts in turn.
        experts: K in every layer; also the number of domains, so that expert j may specialise in domain j.
        states: N, hidden states of one image: its patches, 4 quadrants of 4x4 pixels.
        pixels: of one patch.
        width: of a hidden state.
        hidden: width inside an expert.
        classes: digits.
        seed: of weights, order and disturbance of the training images, and dropped experts.
        epochs: passes over the training images, every image in every domain.
        batch_size: images per gradient step.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        label_smoothing: of the cross-entropy.
        specialisation: weight of the penalty that pulls gates towards the domain's own expert; it grows linearly with
            the layer, from 0 before the first to this value at the last: early layers stay general.
        domain_share: gate score of the domain's expert that the penalty aims at; the rest is shared evenly.
        full_share: share of training images whose hidden states hear every expert; of the others, one half hears the
            best 1, 2 or 3 experts of each hidden state, one half a random subset of the experts.
    """

    layers: Count = 6
    experts: Annotated[int, Field(ge=2)] = 6
    states: Count = 4
    pixels: Count = 16
    width: Count = 24
    hidden: Count = 24
    classes: Count = 10
    seed: Annotated[int, Field(ge=0)] = 0
    epochs: Count = 25
    batch_size: Count = 384
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    label_smoothing: Share = 0.05
    specialisation: Annotated[float, Field(ge=0)] = 1.5
    domain_share: Share = 0.6
    full_share: Share = 0.6


# Pixels run from -1 (background) to 1 (ink), images are (B, 8, 8).
NOISE = 0.35  # standard deviation of the noise on every image, in every domain (this project's choice)
STRONG_NOISE = 0.9  # of the domain `noisy`


def _shifted(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """By two pixels along a diagonal drawn per image; what leaves on one side is lost."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)), constant_values=-1.0)
    down, right = generator.integers(0, 2, (2, len(images))) * 4
    rows = down[:, None] + np.arange(8)
    columns = right[:, None] + np.arange(8)
    return padded[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]

DOMAINS: MappingProxyType[str, Transform] = MappingProxyType(
    {
        "clean": lambda images, _: images,
        "rotated": lambda images, _: np.rot90(images, axes=(1, 2)),
        "inverted": lambda images, _: -images,
        "shifted": _shifted,
        "noisy": lambda images, drawn: images + STRONG_NOISE * drawn.standard_normal(images.shape, dtype=np.float32),
        "mirrored": lambda images, _: images[:, :, ::-1],
    }
)


def in_every_domain(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The same images in each domain, with fresh noise.

    Args:
        images: (B, 8, 8) float32, about -1 to 1.
        generator: random source of shifts and noise.

    Returns:
        (domains, B, 4, 16) float32: the four quadrants of each image as rows of pixels, the hidden states' input.
    """
    seen = np.stack([transform(images, generator) for transform in DOMAINS.values()])
    seen = seen + np.float32(NOISE) * generator.standard_normal(seen.shape, dtype=np.float32)
    return patches(seen)


def patches(images: np.ndarray) -> np.ndarray:
    """(..., 8, 8) images to (..., 4, 16): quadrants in reading order, their pixels in reading order."""
    lead = images.shape[:-2]
    quadrants = images.reshape(*lead, 2, 4, 2, 4).swapaxes(-3, -2)
    return np.ascontiguousarray(quadrants.reshape(*lead, 4, 16), dtype=np.float32)


@dataclass(frozen=True)
class LabelledImages:
    """Images and their labels.

    Attributes:
        images: (N, channels, height, width) float32, about -1 to 1.
        labels: (N,) int64.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class DataSplit:
    """Disjoint images to train on, to tune on and to report on."""

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages


def load_digits_split(seed: int = 0) -> DataSplit:
    """scikit-learn's 1,797 handwritten digits (8x8, ten classes; UCI "Optical Recognition of Handwritten Digits").

    60 % train, 20 % validation, 20 % test, stratified by label. The test images are the same for every seed, so what
    was tuned or trained under one seed has seen none that another reports on; `seed` shuffles the rest. No download.
    """
    # imported where it is needed, for it takes a while
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 1, 8, 8) / 8 - 1).astype(np.float32)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    train, validation = train_test_split(train, test_size=0.25, stratify=labels[train], random_state=seed)
    return DataSplit(
        *(LabelledImages(images[rows], labels[rows].astype(np.int64)) for rows in (train, validation, test))
    )


Part = Literal["train", "validation", "test"]
# shifts and noise of the inputs that schedulers meet; training draws its own, anew in every epoch
_SEED = 20_250_313


@dataclass(frozen=True)
class Inputs:
    """Labelled images in every domain; read-only.

    Attributes:
        patches: (domains, images, N, pixels) float32.
        labels: (images,) int64.
    """

    patches: np.ndarray
    labels: np.ndarray


@lru_cache(maxsize=3)
def load_inputs(part: Part) -> Inputs:
    """The inputs of one part of the digits: the classifier learns on "train", is chosen on "validation" and reported
    on "test"; schedulers are trained and tuned on the first two and reported on "test".

    Raises:
        ImportError: with the command that installs scikit-learn, if it is missing.
        ValueError: for an unknown part.
    """
    if part not in get_args(Part):
        raise ValueError(f"part = {part!r}: valid are {', '.join(get_args(Part))}")
    images = getattr(load_digits_split(), part)
    generator = np.random.default_rng([_SEED, get_args(Part).index(part)])
    patches, labels = in_every_domain(images.images[:, 0], generator), images.labels.copy()
    for array in (patches, labels):
        array.setflags(write=False)
    return Inputs(patches, labels)

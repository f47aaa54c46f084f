"""What the classifier is asked: every digit of a part of the data in every domain, the same in every process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from dmoe_gym.models.digits.domains import in_every_domain
from dmoe_gym.models.digits.images import load_digits_split

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

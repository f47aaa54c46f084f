"""scikit-learn's bundled handwritten digits, split once for everything in the suite that trains on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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

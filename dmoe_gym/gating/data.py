"""Labelled images: scikit-learn's bundled digits by default, CIFAR where the user has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

DatasetName = Literal["digits", "cifar10", "cifar100"]


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
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 1, 8, 8) / 8 - 1).astype(np.float32)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    train, validation = train_test_split(train, test_size=0.25, stratify=labels[train], random_state=seed)
    return DataSplit(
        *(LabelledImages(images[rows], labels[rows].astype(np.int64)) for rows in (train, validation, test))
    )


def load_split(dataset: DatasetName = "digits", data_root: Path | None = None, seed: int = 0) -> DataSplit:
    """The split of a dataset by name; CIFAR is read from `data_root` and never downloaded.

    Of CIFAR, the last tenth of a seeded permutation of the training images is the validation part; test is CIFAR's own.

    Raises:
        ValueError: for an unknown name, for CIFAR without `data_root`, or when files are missing or damaged.
    """
    if dataset == "digits":
        return load_digits_split(seed)
    if dataset not in ("cifar10", "cifar100"):
        raise ValueError(f"dataset = {dataset!r}: valid are digits, cifar10, cifar100")
    from dmoe_gym.gating.cifar import read_cifar

    if data_root is None:
        raise ValueError(f"data_root = None: {dataset} needs the folder that holds its files (--data-root DIR)")
    train, test = read_cifar(dataset, Path(data_root))
    order = np.random.default_rng(seed).permutation(len(train))
    cut = len(train) - len(train) // 10
    kept, held_out = order[:cut], order[cut:]
    return DataSplit(
        LabelledImages(train.images[kept], train.labels[kept]),
        LabelledImages(train.images[held_out], train.labels[held_out]),
        test,
    )

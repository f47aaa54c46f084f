"""Labelled images: scikit-learn's bundled digits by default, CIFAR where the user has it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from dmoe_gym.models.digits.images import DataSplit, LabelledImages, load_digits_split

DatasetName = Literal["digits", "cifar10", "cifar100"]

__all__ = ["DataSplit", "DatasetName", "LabelledImages", "load_digits_split", "load_split"]


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

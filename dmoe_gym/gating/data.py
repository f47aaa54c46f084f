"""Labelled images: scikit-learn's bundled digits by default, CIFAR where the user has it.

CIFAR's binary version is read with NumPy. The Python version is pickled, so it goes through torchvision alone, which
verifies the MD5 sums of the published files before it opens them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from dmoe_gym.models.digits.data import DataSplit, LabelledImages, load_digits_split

DatasetName = Literal["digits", "cifar10", "cifar100"]

__all__ = ["DataSplit", "DatasetName", "LabelledImages", "load_digits_split", "load_split"]

PIXELS = 3 * 32 * 32
BINARY_FILES = {
    "cifar10": ("cifar-10-batches-bin", [f"data_batch_{part}.bin" for part in range(1, 6)], "test_batch.bin"),
    "cifar100": ("cifar-100-binary", ["train.bin"], "test.bin"),
}
LABEL_BYTES = {"cifar10": 1, "cifar100": 2}  # CIFAR-100 stores the coarse label, then the fine one
CLASSES = {"cifar10": 10, "cifar100": 100}


def load_split(dataset: str = "digits", data_root: Path | str | None = None, seed: int = 0) -> DataSplit:
    """The split of a dataset by name; CIFAR is read from `data_root` and never downloaded.

    Of CIFAR, the last tenth of a seeded permutation of the training images is the validation part; test is CIFAR's own.

    Raises:
        ValueError: for an unknown name, for CIFAR without `data_root`, for digits with one, or when files are missing
            or damaged.
    """
    if dataset == "digits":
        if data_root is not None:
            raise ValueError(f"data_root = {str(data_root)[:200]!r}: valid with dataset = 'digits' is None")
        return load_digits_split(seed)
    if dataset not in ("cifar10", "cifar100"):
        raise ValueError(f"dataset = {dataset!r}: valid are digits, cifar10, cifar100")
    if data_root is None:
        raise ValueError(f"data_root = None: {dataset} needs the folder that holds its files (--data-root DIR)")
    train, test = read_cifar(dataset, Path(os.path.expanduser(data_root)))
    order = np.random.default_rng(seed).permutation(len(train))
    cut = len(train) - len(train) // 10
    kept, held_out = order[:cut], order[cut:]
    return DataSplit(
        LabelledImages(train.images[kept], train.labels[kept]),
        LabelledImages(train.images[held_out], train.labels[held_out]),
        test,
    )


def read_cifar(dataset: str, root: Path) -> tuple[LabelledImages, LabelledImages]:
    """Training and test images of "cifar10" or "cifar100" found under `root`.

    Raises:
        ValueError: one line, when the folder or torchvision is missing or a file is damaged.
    """
    if not os.path.isdir(root):  # `Path.is_dir` raises what the system says of a name that is too long
        raise ValueError(f"data_root = {str(root)[:200]!r}: no such folder; it must hold {BINARY_FILES[dataset][0]}")
    folder, train_files, test_file = BINARY_FILES[dataset]
    if (root / folder).is_dir():
        train = [_read_binary(dataset, root / folder / name) for name in train_files]
        images = np.concatenate([part.images for part in train])
        labels = np.concatenate([part.labels for part in train])
        return LabelledImages(images, labels), _read_binary(dataset, root / folder / test_file)
    return _read_with_torchvision(dataset, root, folder)


def _read_binary(dataset: str, path: Path) -> LabelledImages:
    record = LABEL_BYTES[dataset] + PIXELS
    if not path.is_file():
        raise ValueError(f"data_root: {path} is missing")
    content = np.fromfile(path, np.uint8)
    if len(content) == 0 or len(content) % record:
        raise ValueError(f"data_root: {path} has {len(content)} bytes, valid is a multiple of {record}")
    rows = content.reshape(-1, record)
    labels = rows[:, LABEL_BYTES[dataset] - 1].astype(np.int64)
    if labels.max() >= CLASSES[dataset]:
        raise ValueError(f"data_root: {path} holds label {labels.max()}, valid is below {CLASSES[dataset]}")
    return LabelledImages(_scaled(rows[:, LABEL_BYTES[dataset] :].reshape(-1, 3, 32, 32)), labels)


def _read_with_torchvision(dataset: str, root: Path, binary_folder: str) -> tuple[LabelledImages, LabelledImages]:
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError):  # RuntimeError: a torchvision built for another torch
        raise ValueError(
            f"data_root = {str(root)!r}: holds no folder {binary_folder}, and torchvision, which reads the other "
            "version, is not installed or does not fit this torch"
        ) from None
    reader = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[dataset]
    try:
        parts = [reader(str(root), train=train, download=False) for train in (True, False)]
    except RuntimeError as error:
        raise ValueError(
            f"data_root = {str(root)!r}: holds neither {binary_folder} nor torchvision's {dataset} ({error})"
        ) from None
    train, test = (
        LabelledImages(_scaled(np.moveaxis(part.data, -1, 1)), np.array(part.targets, np.int64)) for part in parts
    )
    return train, test


def _scaled(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)

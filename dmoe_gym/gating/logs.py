"""TensorBoard scalars of the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from dmoe_gym.gating.networks import mixture


class EpochMeans:
    """Means over one epoch's training images: loss, accuracy of the output, share of images by preferred expert."""

    def __init__(self, experts: int) -> None:
        self._images = 0
        self._loss = 0.0
        self._correct = 0
        self._load = torch.zeros(experts, dtype=torch.long)

    def add(self, loss: Tensor, log_weights: Tensor, log_answers: Tensor, labels: Tensor) -> None:
        """Count one batch in."""
        self._images += len(labels)
        self._loss += float(loss) * len(labels)
        self._correct += int((mixture(log_weights, log_answers).argmax(dim=1) == labels).sum())
        self._load += torch.bincount(log_weights.argmax(dim=1), minlength=len(self._load))

    def scalars(self) -> dict[str, float]:
        """Tag to value."""
        load = {f"gate_load/expert_{k}": count / self._images for k, count in enumerate(self._load.tolist())}
        return {"loss": self._loss / self._images, "accuracy": self._correct / self._images, **load}


@contextmanager
def scalar_writer(log_dir: Path | str | None, stage: int) -> Iterator[Callable[[int, EpochMeans], None]]:
    """A function that writes one epoch's scalars to `log_dir`/stage_N, or does nothing if `log_dir` is None."""
    if log_dir is None:
        yield lambda epoch, means: None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(Path(log_dir) / f"stage_{stage}") as writer:

        def write(epoch: int, means: EpochMeans) -> None:
            for tag, value in means.scalars().items():
                writer.add_scalar(tag, value, epoch)

        yield write

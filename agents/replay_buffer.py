"""A replay buffer on disk, as tensors: what an interrupted off-policy learner goes on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from dmoe_gym.io.files import write_whole
from dmoe_gym.io.model_file import read_tensors, tensor_bytes

# A larger buffer is not kept: an interrupted run fills it anew.
MOST_BYTES = 2**30


def save_replay(model: BaseAlgorithm, path: Path, steps: int) -> None:
    """Write what the learner's replay buffer holds, if it has one that is not larger than `MOST_BYTES`.

    Args:
        steps: environment steps, by which the checkpoint that it belongs to is known.
    """
    buffer: Any = getattr(model, "replay_buffer", None)
    if buffer is None:
        return
    filled = buffer.buffer_size if buffer.full else buffer.pos
    arrays = {name: values[:filled] for name, values in _arrays(buffer)}
    if sum(values.nbytes for values in arrays.values()) > MOST_BYTES:
        path.unlink(missing_ok=True)
        return
    about = {"steps": str(steps), "position": str(buffer.pos), "full": str(int(buffer.full))}
    write_whole(path, tensor_bytes(about, arrays))


def load_replay(model: BaseAlgorithm, path: Path, steps: int) -> bool:
    """Fill the learner's replay buffer from the file of the checkpoint of these steps; whether there was one.

    A file of another checkpoint or another buffer, or a damaged one, is passed over.
    """
    buffer: Any = getattr(model, "replay_buffer", None)
    if buffer is None or not path.is_file():
        return False
    try:
        about, kept = read_tensors(path)
        position, full = int(about["position"]), about["full"] == "1"
        ours = about["steps"] == str(steps) and 0 <= position <= buffer.buffer_size
    except (KeyError, ValueError):
        return False
    filled = buffer.buffer_size if full else position
    own = dict(_arrays(buffer))
    shapes = {name: (filled, *values.shape[1:]) for name, values in own.items()}
    if not ours or {name: values.shape for name, values in kept.items()} != shapes:
        return False
    for name, values in own.items():
        values[:filled] = kept[name]
    buffer.pos, buffer.full = position, full
    return True


def _arrays(buffer: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The buffer's arrays by name, a row per entry; dictionaries of observations key by key."""
    for name, value in vars(buffer).items():
        parts = {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        for label, part in parts.items():
            if isinstance(part, np.ndarray) and part.ndim >= 2 and len(part) == buffer.buffer_size:
                yield label, part

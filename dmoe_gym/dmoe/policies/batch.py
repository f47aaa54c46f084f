"""Telling one observation from a batch of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def as_batch(observation: Mapping[str, np.ndarray], key: str, dimensions: int) -> tuple[dict[str, np.ndarray], bool]:
    """The observation with a leading batch axis, and whether it had one already.

    Args:
        key: the entry that tells, which has `dimensions` axes in a single observation.

    Raises:
        ValueError: if the entry is missing or has another number of axes.
    """
    if key not in observation:
        raise ValueError(f"observation: has no {key!r}; it has {', '.join(observation)}")
    axes = np.ndim(observation[key])
    if axes not in (dimensions, dimensions + 1):
        raise ValueError(f"observation[{key!r}]: has {axes} axes, valid are {dimensions} or {dimensions + 1}")
    batched = axes == dimensions + 1
    return {name: np.asarray(value) if batched else np.asarray(value)[None] for name, value in observation.items()}, (
        batched
    )

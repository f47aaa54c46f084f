"""The longest episode that a caller of a batch allows, as Gymnasium's `TimeLimit` counts it."""

from __future__ import annotations

from typing import Any

import numpy as np


class StepLimit:
    """Counts the steps of every environment's episode.

    Args:
        num_envs: size of the batch.
        most: steps after which an episode is truncated; None or -1, as `gym.make` has it, for no limit.

    Raises:
        ValueError: for another limit.
    """

    def __init__(self, num_envs: int, most: Any) -> None:
        whole = isinstance(most, int | np.integer) and not isinstance(most, bool)
        if most is not None and not (whole and (most >= 1 or most == -1)):
            raise ValueError(f"max_episode_steps = {most!r}: valid are whole numbers of at least 1, or None")
        self._most = None if most is None or most == -1 else int(most)
        self._steps = np.zeros(num_envs, np.int64)

    def begin(self, rows: np.ndarray) -> None:
        """An episode begins in the environments in `rows`."""
        self._steps[rows] = 0

    def count(self, rows: np.ndarray) -> np.ndarray:
        """Count a step of the environments in `rows`; (num_envs,) bool, where the limit is reached in it."""
        truncated = np.zeros(len(self._steps), np.bool_)
        if self._most is not None:
            self._steps[rows] += 1
            truncated[rows] = self._steps[rows] >= self._most
        return truncated

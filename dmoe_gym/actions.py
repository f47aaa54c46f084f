"""Are actions in their space? One check for every facade, fast where they are and in words where not."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
from gymnasium import spaces

from dmoe_gym.compiled.njit import njit


class ActionCheck:
    """The check of a batch of actions.

    Args:
        space: of one environment: Box, MultiBinary, MultiDiscrete or Discrete.
        num_envs: size of the batch.
    """

    def __init__(self, space: spaces.Space, num_envs: int) -> None:
        self.space = space
        self.shape = (num_envs, *(space.shape or ()))
        # how many values an entry has; None where entries are real numbers
        self.sizes: np.ndarray | None = None
        if isinstance(space, spaces.MultiBinary):
            self.sizes = np.full(space.shape, 2)
        elif not isinstance(space, spaces.Box):
            size = space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n  # type: ignore[attr-defined]
            self.sizes = np.atleast_1d(size).astype(np.int64)

    def __call__(self, actions: Any) -> np.ndarray:
        """The actions as the array that a core's `step` takes.

        Raises:
            ValueError: if one lies outside the space, naming environment, entry and what is valid.
        """
        array = np.asarray(actions)
        sizes, space = self.sizes, self.space
        usual = sizes is not None and array.dtype == np.int64 and array.shape == self.shape
        if usual and _all_within(array if array.ndim == 2 else array[:, None], sizes):
            return array
        if array.shape != self.shape:
            raise ValueError(
                f"action: has shape {array.shape[1:]} in a batch of {array.shape[:1]}, "
                f"valid is {_in_words(space)} in a batch of {self.shape[:1]}"
            )
        # Stable-Baselines3 answers a MultiBinary space with 0.0 and 1.0, and Gymnasium counts those as members
        real = isinstance(space, spaces.Box | spaces.MultiBinary)
        if array.dtype.kind not in ("biuf" if real else "biu"):
            valid = "real" if real else "whole"
            raise ValueError(f"action: has dtype {array.dtype}, valid are {valid} numbers of {_in_words(space)}")
        if isinstance(space, spaces.Box):
            array = array.astype(space.dtype, copy=False)
            wrong = ~((array >= space.low) & (array <= space.high))
        elif isinstance(space, spaces.MultiBinary):
            wrong = (array != 0) & (array != 1)
        else:
            wrong = (array < 0) | (array >= sizes.reshape(space.shape or ()))  # type: ignore[union-attr]
        if wrong.any():
            index = tuple(int(part) for part in np.argwhere(wrong)[0])
            raise ValueError(f"action{list(index)} = {array[index]}: valid is {_in_words(space)}")
        return array if isinstance(space, spaces.Box) else array.astype(np.int64, copy=False)


def _in_words(space: spaces.Space) -> str:
    """The space in one line, however many numbers a MultiDiscrete one has."""
    if not isinstance(space, spaces.MultiDiscrete):
        return str(space)
    runs = [(int(size), len(list(same))) for size, same in groupby(space.nvec.tolist())]
    return "MultiDiscrete: " + ", then ".join(f"{count} whole numbers from 0 to {size - 1}" for size, count in runs)


@njit
def _all_within(actions, sizes):
    """Is 0 <= entry < size in all actions (batch, entries)? sizes: (entries,) int64.

    Compiled, for between two calls of compiled code a handful of calls of numpy take three times as long as alone.
    """
    within = True
    for row in range(actions.shape[0]):
        for entry in range(sizes.shape[0]):
            within &= (actions[row, entry] >= 0) & (actions[row, entry] < sizes[entry])
    return within

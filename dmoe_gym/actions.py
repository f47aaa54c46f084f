"""Actions as callers hand them in: the array that a core's `step` takes, or one clear error."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
from gymnasium import spaces

from dmoe_gym.compiled.njit import njit


class ActionCheck:
    """The check of one environment's actions, and of a batch's.

    Finite numbers outside a `Box` are clipped to it, as Gymnasium's own environments do: learners with Gaussian
    policies send their samples as they are.

    Args:
        space: of one environment: Box, Discrete, MultiDiscrete or MultiBinary.
        num_envs: size of the batch.
    """

    def __init__(self, space: spaces.Space, num_envs: int) -> None:
        self.space = space
        self._single = space.shape or ()
        self._batch = (num_envs, *self._single)
        if isinstance(space, spaces.Box):
            self._sizes = None
        elif isinstance(space, spaces.MultiBinary):
            self._sizes = np.full(space.shape, 2)
        else:
            size = space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n  # type: ignore[attr-defined]
            self._sizes = np.atleast_1d(size).astype(np.int64)

    def __call__(self, actions: Any) -> np.ndarray:
        """Actions of a whole batch, (num_envs, ...).

        Raises:
            ValueError: if one is no member of the space, naming environment, entry and what is valid.
        """
        array = self._read(actions, self._batch)
        if array.shape != self._batch:
            raise ValueError(
                f"actions: have shape {array.shape}, valid is {self._batch}: "
                f"{_in_words(self.space)}, in each of {self._batch[0]} environments"
            )
        return self._checked(array, 0)

    def single(self, action: Any) -> np.ndarray:
        """One environment's action, as a batch of one.

        Raises:
            ValueError: if it is no member of the space, naming the entry and what is valid.
        """
        array = self._read(action, self._single)
        if array.shape != self._single:
            raise ValueError(f"action: has shape {array.shape}, valid is {self._single}: {_in_words(self.space)}")
        return self._checked(array[None], 1)

    def _read(self, given: Any, shape: tuple[int, ...]) -> np.ndarray:
        try:
            array = np.asarray(given)
        except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, tensors elsewhere
            reason: Exception | None = error
            array = np.empty(0, object)
        else:
            reason = None
        if array.shape != shape or array.dtype == object:
            if _is_pair(given, shape):
                raise ValueError("action: is a pair (action, state), as predict returns it; valid is its first part")
            if reason is not None:
                raise ValueError(f"action: cannot be read as an array ({reason}); valid is {_in_words(self.space)}")
        return array

    def _checked(self, array: np.ndarray, leading: int) -> np.ndarray:
        """`array`, a batch, as `step` takes it; messages leave out its first `leading` axes."""
        space, sizes = self.space, self._sizes
        whole = sizes is not None and array.dtype == np.int64
        if whole and _all_within(array if array.ndim == 2 else array[:, None], sizes):
            return array
        # Stable-Baselines3 answers a MultiBinary space with 0.0 and 1.0, and Gymnasium counts those as members
        real = isinstance(space, spaces.Box | spaces.MultiBinary)
        if array.dtype.kind not in ("biuf" if real else "biu"):
            valid = "real" if real else "whole"
            raise ValueError(f"action: has dtype {array.dtype}, valid are {valid} numbers of {_in_words(space)}")
        if isinstance(space, spaces.Box):
            wrong = ~np.isfinite(array)
            valid = f"finite numbers; beyond {_in_words(space)} they are clipped"
        elif isinstance(space, spaces.MultiBinary):
            wrong = (array != 0) & (array != 1)
            valid = _in_words(space)
        else:
            wrong = (array < 0) | (array >= sizes.reshape(self._single))  # type: ignore[union-attr]
            valid = _in_words(space)
        if wrong.any():
            index = tuple(int(part) for part in np.argwhere(wrong)[0])
            place = list(index[leading:]) or ""
            raise ValueError(f"action{place} = {array[index]}: valid is {valid}")
        if isinstance(space, spaces.Box):
            if array.dtype.kind != "f":
                array = array.astype(np.float64)
            return np.clip(array, space.low, space.high).astype(space.dtype, copy=False)
        return array.astype(np.int64, copy=False)


def _is_pair(given: Any, shape: tuple[int, ...]) -> bool:
    """Is this what `predict` returns, where an action of this shape was to be?"""
    if not isinstance(given, tuple) or len(given) != 2:
        return False
    if given[1] is None or isinstance(given[1], tuple):
        return True
    try:
        return np.shape(given[0]) == shape != np.shape(given[1])
    except (TypeError, ValueError, RuntimeError):
        return False


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

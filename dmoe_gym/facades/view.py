"""How a facade shows a core: its dictionary of observations or one flat array, its bits as they are or as choices."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from dmoe_gym.core import BatchedCore
from dmoe_gym.registration import create_core, shown_by, system_of
from dmoe_gym.rendering import Viewer


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


_INDEX = 2**128


def told_seed(seed: int, index: int) -> int:
    """The one number that gives the episodes of (seed, environment index)."""
    return seed + index * _INDEX


def checked_seed(seed: Any, name: str = "seed") -> tuple[int, int]:
    """(seed, environment index) of a seed that was given.

    Raises:
        ValueError: if it is no whole number of at least 0.
    """
    try:
        number = -1 if isinstance(seed, bool | np.bool_) else operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"{name} = {seed!r}: valid are whole numbers of at least 0")
    return number % _INDEX, number // _INDEX


def seeded_pair(seed: Any, options: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """(seed, environment index) that a reset of one environment is to start from; None to go on.

    Args:
        seed: None, or a whole number.
        options: None, or {"environment_index": i}: with a seed, the episodes of environment i of a batch.

    Raises:
        ValueError: for another seed, an unknown option, or an environment index without a seed.
    """
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"options = {options!r}: valid is a mapping with the key 'environment_index'")
    for key in options or {}:
        if key != "environment_index":
            raise ValueError(f"options: unknown key {key!r}; valid is 'environment_index'")
    index = (options or {}).get("environment_index")
    if seed is None:
        if index is not None:
            raise ValueError(f"options['environment_index'] = {index!r}: valid only together with a seed")
        return None
    pair = checked_seed(seed)
    if index is None:
        return pair
    number, own = checked_seed(index, "options['environment_index']")
    if pair[1] or own:
        raise ValueError(f"options['environment_index'] = {index!r}: valid with a seed below 2^128 = {_INDEX} only")
    return pair[0], number


class View:
    """Spaces and observations of a core as one id shows them; the episodes are the same in all.

    Args:
        core: what is shown.
        flat: one vector instead of a dictionary, as Gymnasium's `FlattenObservation` makes it: the keys in the order
            of the core's space, which is the alphabet's, each flattened row by row.
        multi_discrete: a `MultiBinary` action space as `MultiDiscrete` of twos; others stay as they are.

    Attributes:
        observation_space, action_space: of one environment.
    """

    observation_space: spaces.Space
    action_space: spaces.Space

    def __init__(self, core: BatchedCore, flat: bool = False, multi_discrete: bool = False) -> None:
        self.core = core
        self._alone = core.alone
        space = core.observation_space
        self._keys = tuple(space.spaces) if flat and isinstance(space, spaces.Dict) else None
        self.observation_space = space if self._keys is None else spaces.flatten_space(space)
        self.action_space = core.action_space
        if multi_discrete and isinstance(core.action_space, spaces.MultiBinary):
            self.action_space = spaces.MultiDiscrete(np.full(core.action_space.shape, 2))

    def batch(self, copy: bool = True) -> Any:
        """Observations of all environments; `copy=False` gives a dictionary's arrays as the core owns them."""
        observations = self.core.observations
        if self._alone is not None:
            return observations[self._alone].copy() if copy else observations[self._alone]
        if self._keys is not None:
            size = self.core.num_envs
            return np.concatenate([observations[key].reshape(size, -1) for key in self._keys], axis=1)
        return {key: values.copy() if copy else values for key, values in observations.items()}

    def rows(self, rows: np.ndarray) -> list[Any]:
        """A copy of each of some environments' observations."""
        if self._alone is not None:
            return list(self.core.observations[self._alone][rows])
        if self._keys is not None:
            return list(
                np.concatenate([self.core.observations[key][rows].reshape(len(rows), -1) for key in self._keys], axis=1)
            )
        # one copy per key; every environment's observation is its own part of it
        return records({key: values[rows] for key, values in self.core.observations.items()})

    def first(self) -> Any:
        """A copy of environment 0's observation."""
        observation = self.core.first_observation
        if self._alone is not None:
            return observation[self._alone].copy()
        if self._keys is not None:
            return np.concatenate([observation[key].ravel() for key in self._keys])
        return {key: values.copy() for key, values in observation.items()}


def records(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> list[dict[str, Any]]:
    """One dictionary per row of some columns; column by column, which takes less time than row by row."""
    rows: list[dict[str, Any]] = [{} for _ in range(len(next(iter(columns.values()))))]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return rows


def create_view(env_id: str, num_envs: int, scenario: str | None, overrides: Mapping[str, Any]) -> View:
    """A batch of environments as their id shows them.

    Raises:
        UnknownFieldError, ValueError: as `create_core`.
    """
    shown = shown_by(env_id)
    return View(create_core(env_id, num_envs, scenario, overrides), shown.flat, shown.multi_discrete)


# Pictures a second, in windows and films.
FRAMES_PER_SECOND = 2


def watched(core: BatchedCore, env_id: str, render_mode: str | None, modes: Sequence[str]) -> Viewer | None:
    """The viewer of a core, which records from now on; None without a render mode.

    Args:
        modes: what the facade can show.

    Raises:
        ValueError: for another render mode.
    """
    viewer = system_of(env_id).viewer
    valid = modes if viewer is not None else ()
    if render_mode is not None and render_mode not in valid:
        raise ValueError(f"render_mode = {render_mode!r}: valid are None, {', '.join(map(repr, valid))}")
    if viewer is None or render_mode is None:
        return None
    core.recorder = viewer.recorder(core)
    return viewer

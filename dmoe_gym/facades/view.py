"""How a facade shows a core: its dictionary of observations or one flat array, its bits as they are or as choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from dmoe_gym.core import BatchedCore
from dmoe_gym.registration import create_core, shown_by


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
        parts = {key: values[rows] for key, values in self.core.observations.items()}
        return [{key: values[position] for key, values in parts.items()} for position in range(len(rows))]

    def first(self) -> Any:
        """A copy of environment 0's observation."""
        observation = self.core.first_observation
        if self._alone is not None:
            return observation[self._alone].copy()
        if self._keys is not None:
            return np.concatenate([observation[key].ravel() for key in self._keys])
        return {key: values.copy() for key, values in observation.items()}


def create_view(env_id: str, num_envs: int, scenario: str | None, overrides: Mapping[str, Any]) -> View:
    """A batch of environments as their id shows them.

    Raises:
        UnknownFieldError, ValueError: as `create_core`.
    """
    shown = shown_by(env_id)
    return View(create_core(env_id, num_envs, scenario, overrides), shown.flat, shown.multi_discrete)

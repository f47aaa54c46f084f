"""Many environments as a Stable-Baselines3 `VecEnv`, without one Python object per environment."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from dmoe_gym.core import BatchedCore
from dmoe_gym.facades.viewing import watched
from dmoe_gym.registration import create_core


class BatchedVecEnv(VecEnv):
    """A `BatchedCore` seen through Stable-Baselines3's interface (same-step autoreset).

    Infos of running environments are empty: they cost more than the step. At an episode's end the info carries
    `terminal_observation` and `episode`: return r, length l, time t, and every reward term's mean per round, as SB3's
    Monitor gives them with the terms as its `info_keywords`.

    Args:
        env_id: a registered id of this suite.
        num_envs: size of the batch.
        render_mode: None, or "rgb_array" for `get_images` and SB3's video recorder.
        scenario, overrides: as in `gym.make`.
    """

    def __init__(
        self, env_id: str, num_envs: int, scenario: str | None = None, render_mode: str | None = None, **overrides: Any
    ) -> None:
        self.core: BatchedCore = create_core(env_id, num_envs, scenario, overrides)
        self.spec = gym.spec(env_id)
        self._viewer = watched(self.core, env_id, render_mode, ("rgb_array",))
        # read by VecEnv.__init__ through get_attr
        self.render_mode = render_mode
        super().__init__(num_envs, self.core.observation_space, self.core.action_space)
        self._actions: np.ndarray | None = None
        # from the first reset on: environments that end start again in the same step
        self._running = False
        self._started = time.time()
        self._return = np.zeros(num_envs)
        self._length = np.zeros(num_envs, np.int64)
        self._term_sums = np.zeros((num_envs, len(self.core.terms)))

    @property
    def config(self) -> Any:
        """The system's configuration."""
        return self.core.config

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed environment i with (seed, i) at the next reset."""
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._seeds = [seed] * self.num_envs
        return list(self._seeds)

    def reset(self) -> dict[str, np.ndarray]:
        """Start the next episode of every environment."""
        rows = [row for row in range(self.num_envs) if self._seeds[row] is not None]
        self.core.seed(rows, [(int(self._seeds[row]), row) for row in rows])  # type: ignore[arg-type]
        self.core.start(self.core.all_rows)
        self._running = True
        self._clear(self.core.all_rows)
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return self._observations()

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`.

        Raises:
            ValueError: if an action lies outside the action space.
            RuntimeError: before the first `reset`.
        """
        if not self._running:
            raise RuntimeError("no episode is running: call reset() before step()")
        self._actions = self.core.checked_actions(actions)

    def step_wait(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step every environment; those that end start their next episode at once."""
        assert self._actions is not None, "step_async comes first"
        core = self.core
        core.step(self._actions, core.all_rows)
        rewards, dones = core.rewards.astype(np.float32), core.terminated.copy()
        self._return += core.rewards
        self._length += 1
        self._term_sums += core.term_values
        rows = np.flatnonzero(dones)
        final: list[dict[str, Any]] = self._final_infos(rows) if len(rows) else []
        if len(rows) == self.num_envs:
            infos = final
        else:
            infos = [{} for _ in range(self.num_envs)]
            for row, info in zip(rows.tolist(), final, strict=True):
                infos[row] = info
        if len(rows):
            self._clear(rows)
            core.start(rows)
        return self._observations(), rewards, dones, infos

    def _final_infos(self, rows: np.ndarray) -> list[dict[str, Any]]:
        # one copy per key for all that end together; every environment's observation is its own part of it
        last = _records({key: values[rows] for key, values in self.core.observations.items()})
        means = (self._term_sums[rows] / self.core.rounds_per_episode).T.tolist()
        elapsed = [round(time.time() - self._started, 6)] * len(rows)
        totals, lengths = self._return[rows].tolist(), self._length[rows].tolist()
        episodes = _records({"r": totals, "l": lengths, "t": elapsed, **dict(zip(self.core.terms, means, strict=True))})
        return [
            {"terminal_observation": observation, "TimeLimit.truncated": False, "episode": episode}
            for observation, episode in zip(last, episodes, strict=True)
        ]

    def _clear(self, rows: np.ndarray) -> None:
        self._return[rows] = 0
        self._length[rows] = 0
        self._term_sums[rows] = 0

    def _observations(self) -> dict[str, np.ndarray]:
        return {key: values.copy() for key, values in self.core.observations.items()}

    def close(self) -> None:
        """Nothing is held open."""

    # --- SB3's access to the environments it believes are behind

    def _rows(self, indices: int | Iterable[int] | None) -> Iterable[int]:
        return self._get_indices(indices)

    def has_attr(self, attr_name: str) -> bool:
        """Is there such an attribute? `action_masks` only where the core has masks."""
        if attr_name == "action_masks":
            return self.core.masked
        return hasattr(self, attr_name) or hasattr(self.core, attr_name)

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """The attribute, once per environment."""
        value = getattr(self, attr_name) if hasattr(self, attr_name) else getattr(self.core, attr_name)
        return [value for _ in self._rows(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Refused: environments of a batch share their attributes."""
        raise NotImplementedError(f"cannot set {attr_name!r}: the environments of a batch share their attributes")

    def env_method(
        self, method_name: str, *method_args: Any, indices: int | Iterable[int] | None = None, **method_kwargs: Any
    ) -> list[Any]:
        """`action_masks`, or a method of the core that takes the environment's row first (`round`, `schedule`)."""
        rows = list(self._rows(indices))
        if method_name == "action_masks":
            masks = self.core.masks()
            return [masks[row].copy() for row in rows]
        method = getattr(self.core, method_name)
        return [method(row, *method_args, **method_kwargs) for row in rows]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper], indices: int | Iterable[int] | None = None
    ) -> list[bool]:
        """No wrapper is inside; episodes are recorded as SB3's Monitor would."""
        return [wrapper_class.__name__ == "Monitor" for _ in self._rows(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """One picture per environment."""
        if self._viewer is None:
            return [None] * self.num_envs
        return [self._viewer.render(self.core, row, "rgb_array") for row in range(self.num_envs)]


def _records(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> list[dict[str, Any]]:
    """One dictionary per row of some columns; column by column, which takes less time than row by row."""
    records: list[dict[str, Any]] = [{} for _ in range(len(next(iter(columns.values()))))]
    for name, values in columns.items():
        for record, value in zip(records, values, strict=True):
            record[name] = value
    return records

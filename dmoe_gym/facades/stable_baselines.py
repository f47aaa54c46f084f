"""Many environments as a Stable-Baselines3 `VecEnv`, without one Python object per environment."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np

from dmoe_gym.facades.view import (
    FRAMES_PER_SECOND,
    StepLimit,
    checked_seed,
    create_view,
    records,
    seeded_pair,
    told_seed,
    watched,
)
from dmoe_gym.io.extras import needed_for

with needed_for("a VecEnv"):
    from stable_baselines3.common.vec_env.base_vec_env import VecEnv
    from stable_baselines3.common.vec_env.stacked_observations import StackedObservations


class BatchedVecEnv(VecEnv):
    """A `BatchedCore` seen through Stable-Baselines3's interface (same-step autoreset).

    Infos of running environments are empty: they cost more than the step. At an episode's end the info carries the last
    step's terms (SB3's `VecMonitor` reads its `info_keywords` there), `terminal_observation`, and `episode`: return r,
    length l, time t, and every reward term's mean per round.

    Args:
        env_id: a registered id of this suite.
        num_envs: size of the batch.
        render_mode: None, or "rgb_array" for `get_images` and SB3's video recorder.
        history: so many last observations of the episode are seen together, the newest at the end of every array's
            last axis, zeros before the episode's first (SB3's `StackedObservations`).
        max_episode_steps: after so many steps an episode is truncated; None for no limit.
        scenario, overrides: as in `gym.make`.

    Attributes:
        single_observation_space: of a row, before observations are stacked.
    """

    def __init__(
        self,
        env_id: str,
        num_envs: int,
        scenario: str | None = None,
        render_mode: str | None = None,
        max_episode_steps: int | None = None,
        history: int = 1,
        **overrides: Any,
    ) -> None:
        if isinstance(history, bool) or not isinstance(history, int | np.integer) or history < 1:
            raise ValueError(f"history = {history!r}: valid are whole numbers of at least 1")
        self.view = create_view(env_id, num_envs, scenario, overrides)
        self.core = self.view.core
        self.spec = gym.spec(env_id)
        self._viewer = watched(self.core, env_id, render_mode, ("rgb_array",))
        # read by VecEnv.__init__ through get_attr
        self.render_mode = render_mode
        self._stack: Any = None
        rows = self.core.num_envs * self.rows_each
        space, action_space = self._spaces()
        self.single_observation_space: Any = space
        if history > 1:
            self._stack = StackedObservations(rows, int(history), space)
            space = self._stack.stacked_observation_space
        super().__init__(rows, space, action_space)
        self.metadata: dict[str, Any] = {**self.metadata, "render_fps": FRAMES_PER_SECOND}
        self._actions: np.ndarray | None = None
        # from the first reset on: environments that end start again in the same step
        self._running = False
        self._started = time.time()
        self._limit = StepLimit(self.core.num_envs, max_episode_steps)
        self._return = np.zeros((self.core.num_envs, self.rows_each))
        self._length = np.zeros(self.core.num_envs, np.int64)
        self._term_sums = np.zeros((self.core.num_envs, len(self.core.terms)))

    # --- what a row is

    @property
    def rows_each(self) -> int:
        """Rows of every environment, which learners take for environments."""
        return 1

    def _spaces(self) -> tuple[Any, Any]:
        """Observation and action space of a row."""
        return self.view.observation_space, self.view.action_space

    def _checked(self, actions: Any) -> np.ndarray:
        """The core's actions from the rows'."""
        return self.core.checked_actions(actions)

    def _seen(self) -> Any:
        """A copy of all rows' observations."""
        return self.view.batch()

    def _last_seen(self, environments: np.ndarray) -> list[Any]:
        """A copy of each observation of some environments' rows."""
        return self.view.rows(environments)

    def _rewards(self) -> np.ndarray:
        """(environments, rows of each) float64, of the last step."""
        return self.core.rewards[:, None]

    @property
    def config(self) -> Any:
        """The system's configuration."""
        return self.core.config

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed environment i with (seed, i) at the next reset; return what gives each row's episodes alone.

        Raises:
            ValueError: for a seed that is no whole number of at least 0.
        """
        number, index = checked_seed(int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed)
        if index:
            raise ValueError(f"seed = {seed!r}: is one environment's; valid for a batch is one below 2^128")
        self._seeds = [told_seed(number, row // self.rows_each) for row in range(self.num_envs)]
        return list(self._seeds)

    def reset(self) -> Any:
        """Start the next episode of every environment, from the seeds and options that were set.

        Raises:
            ValueError: for an option that no environment has, see `SingleEnv.reset`.
        """
        if len(self._options) != self.num_envs:
            raise ValueError(f"options: {len(self._options)} given, valid is one mapping or {self.num_envs} of them")
        pairs = [self._pair(row) for row in range(0, self.num_envs, self.rows_each)]
        rows = [row for row, pair in enumerate(pairs) if pair is not None]
        self.core.seed(rows, [pairs[row] for row in rows])  # type: ignore[misc]
        self.core.start(self.core.all_rows)
        self._running = True
        self._clear(self.core.all_rows)
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        seen = self._seen()
        return seen if self._stack is None else deepcopy(self._stack.reset(seen))

    def _pair(self, row: int) -> tuple[int, int] | None:
        seed, options = self._seeds[row], self._options[row]
        if seed is not None and options and "environment_index" in options:
            seed = checked_seed(seed)[0]  # the option says which environment instead of the row
        return seeded_pair(seed, options)

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`.

        Raises:
            ValueError: if an action is no member of the action space.
            RuntimeError: before the first `reset`.
        """
        if not self._running:
            raise RuntimeError("no episode is running: call reset() before step()")
        self._actions = self._checked(actions)

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step every environment; those that end start their next episode at once.

        Raises:
            RuntimeError: without a `step_async` before.
        """
        if self._actions is None:
            raise RuntimeError("no actions to wait for: call step_async() before step_wait()")
        core = self.core
        core.step(self._actions, core.all_rows)
        self._actions = None
        rewards, truncated = self._rewards(), self._limit.count(core.all_rows)
        ended = core.terminated | truncated
        self._return += rewards
        self._length += 1
        self._term_sums += core.term_values
        rows = np.flatnonzero(ended)
        final: list[dict[str, Any]] = self._final_infos(rows) if len(rows) else []
        dones = np.repeat(ended, self.rows_each)
        if len(final) == self.num_envs:
            infos = final
        else:
            infos = [{} for _ in range(self.num_envs)]
            for row, info in zip(np.flatnonzero(dones).tolist(), final, strict=True):
                infos[row] = info
        if len(rows):
            self._clear(rows)
            core.start(rows)
        seen = self._seen()
        if self._stack is not None:
            seen, infos = self._stack.update(seen, dones, infos)
        return seen, rewards.ravel().astype(np.float32), dones, infos

    def _final_infos(self, rows: np.ndarray) -> list[dict[str, Any]]:
        """Of every row of some environments."""
        core, each = self.core, np.repeat(rows, self.rows_each)
        means = self._term_sums[each] / np.maximum(core.decided_rounds(each), 1)[:, None]
        episodes = records(
            {
                "r": self._return[rows].ravel().tolist(),
                "l": self._length[each].tolist(),
                "t": [round(time.time() - self._started, 6)] * len(each),
                **dict(zip(core.terms, means.T.tolist(), strict=True)),
            }
        )
        return records(
            {
                **dict(zip(core.terms, core.term_values[each].T.tolist(), strict=True)),
                "TimeLimit.truncated": (~core.terminated[each]).tolist(),
                "terminal_observation": self._last_seen(rows),
                "episode": episodes,
            }
        )

    def _clear(self, rows: np.ndarray) -> None:
        self._limit.begin(rows)
        self._return[rows] = 0
        self._length[rows] = 0
        self._term_sums[rows] = 0

    def close(self) -> None:
        """Nothing is held open."""

    # --- SB3's access to the environments it believes are behind

    def has_attr(self, attr_name: str) -> bool:
        """Is there such an attribute? `action_masks` only where the core has masks."""
        if attr_name == "action_masks":
            return self.core.masked
        return hasattr(self, attr_name) or hasattr(self.core, attr_name)

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        """The attribute, once per environment."""
        value = getattr(self, attr_name) if hasattr(self, attr_name) else getattr(self.core, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        """Refused: environments of a batch share their attributes."""
        raise NotImplementedError(f"cannot set {attr_name!r}: the environments of a batch share their attributes")

    def env_method(
        self, method_name: str, *method_args: Any, indices: int | Iterable[int] | None = None, **method_kwargs: Any
    ) -> list[Any]:
        """`action_masks`, or a method of the core that takes the environment's row first (`round`, `schedule`)."""
        rows = [row // self.rows_each for row in self._get_indices(indices)]
        if method_name == "action_masks":
            masks = self.core.masks()
            return [masks[row].copy() for row in rows]
        method = getattr(self.core, method_name)
        return [method(row, *method_args, **method_kwargs) for row in rows]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper], indices: int | Iterable[int] | None = None
    ) -> list[bool]:
        """No wrapper is inside; episodes are recorded as SB3's Monitor would."""
        return [wrapper_class.__name__ == "Monitor" for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """One picture per environment."""
        if self._viewer is None:
            return [None] * self.num_envs
        return [self._viewer.render(self.core, row, "rgb_array") for row in range(self.core.num_envs)]

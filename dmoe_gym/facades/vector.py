"""Many environments as a `gymnasium.vector.VectorEnv`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from dmoe_gym.core import BatchedCore
from dmoe_gym.facades.viewing import watched
from dmoe_gym.registration import create_core


class BatchedVectorEnv(VectorEnv):
    """A `BatchedCore` seen through Gymnasium's vector interface.

    Environment i of a batch seeded with one number s draws from (s, i); a list of seeds gives environment i what a
    single environment with its seed gets.

    Args:
        env_id: its own; set by the registration.
        num_envs: size of the batch.
        scenario, overrides: as in `gym.make`.
        autoreset_mode: NEXT_STEP (Gymnasium's default), SAME_STEP or DISABLED, as `AutoresetMode` or its value.
        copy: return copies of the observations; False returns the core's own arrays, which the next step overwrites.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (as Gymnasium declares it)
        "autoreset_mode": AutoresetMode.NEXT_STEP,
        "render_modes": ["rgb_array"],
    }

    def __init__(
        self,
        env_id: str,
        num_envs: int = 1,
        scenario: str | None = None,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        **overrides: Any,
    ) -> None:
        self.core: BatchedCore = create_core(env_id, num_envs, scenario, overrides)
        self.num_envs = self.core.num_envs
        self.render_mode = render_mode
        self._viewer = watched(self.core, env_id, render_mode, ("rgb_array",))
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = self.core.observation_space
        self.single_action_space = self.core.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._copy = copy
        self._began = False
        self._everyone = np.ones(self.num_envs, np.bool_)
        self._truncated = np.zeros(self.num_envs, np.bool_)

    @property
    def config(self) -> Any:
        """The system's configuration."""
        return self.core.config

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Start the next episode of every environment, or of those in `options["reset_mask"]` (num_envs,) bool."""
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", self._everyone))
        if options:
            raise ValueError(f"options: unknown key {next(iter(options))!r}; valid is 'reset_mask'")
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise ValueError(f"options['reset_mask']: valid is a boolean array of shape ({self.num_envs},)")
        self._began = True
        rows = np.flatnonzero(mask)
        if seed is not None:
            seeds = self._seeds(seed)
            named = [row for row in rows.tolist() if seeds[row] is not None]
            self.core.seed(named, [seeds[row] for row in named])
        self.core.start(rows)
        return self._observations(), self._mask_info()

    def _seeds(self, seed: int | Sequence[int | None]) -> list[Any]:
        if isinstance(seed, int | np.integer):
            return [(int(seed), index) for index in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"seed: has {len(seed)} entries, valid is one number or {self.num_envs} of them")
        return [None if entry is None else (int(entry), 0) for entry in seed]

    def step(self, actions: Any) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Apply one action per environment.

        Raises:
            ValueError: if an action lies outside the action space.
            RuntimeError: before the first `reset`; with autoreset disabled, if an environment has ended and was not
                reset.
        """
        core = self.core
        if not self._began:
            raise RuntimeError("no episode is running: call reset() before step()")
        actions = core.checked_actions(actions)
        ended = core.terminated.copy()
        if not ended.any():
            core.step(actions, core.all_rows)
            stepped = self._everyone
        elif self.autoreset_mode is AutoresetMode.NEXT_STEP:
            # environments that ended in the last step start anew; their action is ignored, their reward 0
            stepped = ~ended
            core.rewards[ended] = 0.0
            for values in core.terms.values():
                values[ended] = 0.0
            core.start(np.flatnonzero(ended))
            if stepped.any():
                core.step(actions, np.flatnonzero(stepped))
        else:
            raise RuntimeError("an environment has ended and autoreset is disabled: reset it with reset_mask first")
        rewards, terminated = core.rewards.copy(), core.terminated.copy()
        info: dict[str, Any] = {}
        for name, values in core.terms.items():
            info[name] = values.copy()
            info[f"_{name}"] = stepped.copy()
        if terminated.any() and self.autoreset_mode is AutoresetMode.SAME_STEP:
            self._start_same_step(terminated, info)
        info.update(self._mask_info())
        return self._observations(), rewards, terminated, self._truncated.copy(), info

    def _start_same_step(self, terminated: np.ndarray, info: dict[str, Any]) -> None:
        """Keep the last observation and terms in info, as Gymnasium's same-step autoreset does, and start anew."""
        rows = np.flatnonzero(terminated)
        final = np.full(self.num_envs, None, dtype=object)
        final_info: dict[str, Any] = {}
        for row in rows:
            final[row] = {key: values[row].copy() for key, values in self.core.observations.items()}
        for name, values in self.core.terms.items():
            final_info[name] = np.where(terminated, values, 0.0)
            final_info[f"_{name}"] = terminated.copy()
            # what stays in info beside them belongs to the reset, which has no terms
            info[name][rows] = 0.0
            info[f"_{name}"][rows] = False
        if self.core.masked:
            final_info["action_mask"] = np.where(terminated[:, None], self.core.masks(), False).astype(np.int8)
            final_info["_action_mask"] = terminated.copy()
        info.update(final_obs=final, _final_obs=terminated.copy())
        info.update(final_info=final_info, _final_info=terminated.copy())
        self.core.start(rows)

    def _observations(self) -> dict[str, np.ndarray]:
        observations = self.core.observations
        return {key: values.copy() for key, values in observations.items()} if self._copy else dict(observations)

    def _mask_info(self) -> dict[str, Any]:
        if not self.core.masked:
            return {}
        return {"action_mask": self.core.masks().astype(np.int8), "_action_mask": self._everyone.copy()}

    def render(self) -> tuple[Any, ...] | None:
        """One picture per environment."""
        if self._viewer is None:
            return None
        return tuple(self._viewer.render(self.core, row, "rgb_array") for row in range(self.num_envs))

    def close_extras(self, **_: Any) -> None:
        """Nothing is held open."""


class MaskedVectorEnv(BatchedVectorEnv):
    """A batch whose core has action masks."""

    def action_masks(self) -> np.ndarray:
        """(num_envs, actions) bool: the feasible actions."""
        return self.core.masks().copy()

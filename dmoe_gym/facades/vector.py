"""Many environments as a `gymnasium.vector.VectorEnv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from dmoe_gym.facades.view import FRAMES_PER_SECOND, StepLimit, checked_seed, create_view, told_seed, watched


class BatchedVectorEnv(VectorEnv):
    """A `BatchedCore` seen through Gymnasium's vector interface.

    Environment i of a batch seeded with one number s draws from (s, i); a list of seeds gives environment i what a
    single environment with its seed gets.

    Args:
        registered_id: set by the registration.
        num_envs: size of the batch.
        scenario, overrides: as in `gym.make`.
        render_mode: None or "rgb_array".
        autoreset_mode: NEXT_STEP (Gymnasium's default), SAME_STEP or DISABLED, as `AutoresetMode` or its value.
        copy: return copies of the observations; False returns the core's own arrays, which the next step overwrites.
        max_episode_steps: after so many steps an episode is truncated, as by Gymnasium's `TimeLimit`; None for never.

    Raises:
        UnknownFieldError: for an override that the configuration does not have.
        ValueError: for an unknown scenario or an invalid value.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (as Gymnasium declares it)
        "autoreset_mode": AutoresetMode.NEXT_STEP,
        "render_modes": ["rgb_array"],
        "render_fps": FRAMES_PER_SECOND,
    }

    def __init__(
        self,
        registered_id: str,
        num_envs: int = 1,
        scenario: str | None = None,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        max_episode_steps: int | None = None,
        **overrides: Any,
    ) -> None:
        if not isinstance(copy, bool):
            raise ValueError(f"copy = {copy!r}: valid are False and True")
        self.view = create_view(registered_id, num_envs, scenario, overrides)
        self.core = self.view.core
        self.num_envs = self.core.num_envs
        self.render_mode = render_mode
        self._viewer = watched(self.core, registered_id, render_mode, ("rgb_array",))
        self.autoreset_mode = _mode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = self.view.observation_space
        self.single_action_space = self.view.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._copy = copy
        self._limit = StepLimit(self.num_envs, max_episode_steps)
        self._everyone = np.ones(self.num_envs, np.bool_)
        # environments that were reset once, and those whose episode has ended since
        self._started = np.zeros(self.num_envs, np.bool_)
        self._ended = np.zeros(self.num_envs, np.bool_)

    @property
    def config(self) -> Any:
        """The system's configuration."""
        return self.core.config

    @property
    def np_random_seed(self) -> int | tuple[int, ...]:  # type: ignore[override]
        """What `reset(seed=...)` takes to give the episodes again: one number, or one per environment."""
        seeds = self.core.seeds
        if all(pair == (seeds[0][0], row) for row, pair in enumerate(seeds)):
            return seeds[0][0]
        return tuple(told_seed(*pair) for pair in seeds)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The environments' generators."""
        return tuple(self.core.generators)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start the next episode of every environment, or of those in `options["reset_mask"]` (num_envs,) bool.

        Raises:
            ValueError: for an unknown option, another mask, a seed that is no whole number of at least 0, or seeds
                for environments that the mask leaves out.
        """
        mask = self._mask(options)
        rows = np.flatnonzero(mask)
        if seed is not None:
            seeds = self._pairs(seed, mask)
            named = [row for row in rows.tolist() if seeds[row] is not None]
            self.core.seed(named, [seeds[row] for row in named])
        self._start(rows)
        self._started[rows] = True
        self._ended[rows] = False
        return self.view.batch(self._copy), {**self._term_info(mask), **self._mask_info()}

    def _mask(self, options: dict[str, Any] | None) -> np.ndarray:
        if options is not None and not isinstance(options, Mapping):
            raise ValueError(f"options = {options!r}: valid is a mapping with the key 'reset_mask'")
        for key in options or {}:
            if key != "reset_mask":
                raise ValueError(f"options: unknown key {key!r}; valid is 'reset_mask'")
        mask = np.asarray((options or {}).get("reset_mask", self._everyone))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(
                f"options['reset_mask']: valid is a boolean array of shape ({self.num_envs},) that names an environment"
            )
        return mask

    def _pairs(self, seed: Any, mask: np.ndarray) -> list[Any]:
        """(seed, environment index) of every environment; None for those that go on."""
        if isinstance(seed, str | bytes | Mapping | set) or not np.iterable(seed):
            number, index = checked_seed(seed)
            if index:
                raise ValueError(f"seed = {seed!r}: is one environment's; valid for a batch is one below 2^128")
            return [(number, row) for row in range(self.num_envs)]
        seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed: has {len(seeds)} entries, valid is one number or {self.num_envs} of them")
        for row, entry in enumerate(seeds):
            if entry is not None and not mask[row]:
                raise ValueError(f"seed[{row}] = {entry!r}: reset_mask leaves this environment out, valid is None")
        return [None if entry is None else checked_seed(entry, f"seed[{row}]") for row, entry in enumerate(seeds)]

    def _start(self, rows: np.ndarray) -> None:
        """Begin the next episode of some environments; the terms that a step left are gone."""
        self._limit.begin(rows)
        for values in self.core.terms.values():
            values[rows] = 0.0
        self.core.start(rows)

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Apply one action per environment.

        Raises:
            ValueError: if an action is no member of the action space.
            RuntimeError: if an environment was never reset; with autoreset disabled, if one has ended.
        """
        core = self.core
        if not self._started.all():
            row = int(np.argmin(self._started))
            raise RuntimeError(f"environment {row} was never reset: call reset() of all environments before step()")
        actions = core.checked_actions(actions)
        ended = self._ended
        stepped = core.all_rows
        if ended.any():
            if self.autoreset_mode is AutoresetMode.DISABLED:
                row = int(np.argmax(ended))
                raise RuntimeError(f"environment {row} has ended and autoreset is disabled: reset it with reset_mask")
            # environments that ended in the last step start anew; their action is ignored, their reward 0
            core.rewards[ended] = 0.0
            self._start(np.flatnonzero(ended))
            stepped = np.flatnonzero(~ended)
        if len(stepped):
            core.step(actions, stepped)
        rewards, terminated, truncated = core.rewards.copy(), core.terminated.copy(), self._limit.count(stepped)
        self._ended = terminated | truncated
        final: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._ended.any():
            final = self._start_same_step()
        info = {**self._term_info(self._everyone), **self._mask_info(), **final}
        return self.view.batch(self._copy), rewards, terminated, truncated, info

    def _start_same_step(self) -> dict[str, Any]:
        """Start ended environments anew; their last observation and info, as Gymnasium's same-step autoreset."""
        ended, rows = self._ended, np.flatnonzero(self._ended)
        final = np.full(self.num_envs, None, dtype=object)
        for row, observation in zip(rows, self.view.rows(rows), strict=True):
            final[row] = observation
        last: dict[str, Any] = {}
        for name, values in self.core.terms.items():
            last[name] = np.where(ended, values, 0.0)
            last[f"_{name}"] = ended.copy()
        if self.core.masked:
            last["action_mask"] = np.where(ended[:, None], self.core.masks(), False).astype(np.int8)
            last["_action_mask"] = ended.copy()
        self._start(rows)
        self._ended = np.zeros(self.num_envs, np.bool_)
        return {"final_obs": final, "_final_obs": ended.copy(), "final_info": last, "_final_info": ended.copy()}

    def _term_info(self, who: np.ndarray) -> dict[str, Any]:
        """The terms of the last step, 0 in environments that have just begun, and whose they are."""
        info: dict[str, Any] = {}
        for name, values in self.core.terms.items():
            info[name] = values.copy()
            info[f"_{name}"] = who.copy()
        return info

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


def _mode(mode: AutoresetMode | str) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        valid = ", ".join(repr(one.value) for one in AutoresetMode)
        raise ValueError(f"autoreset_mode = {mode!r}: valid are {valid}") from None


class MaskedVectorEnv(BatchedVectorEnv):
    """A batch whose core has action masks."""

    def action_masks(self) -> np.ndarray:
        """(num_envs, actions) bool: the feasible actions."""
        return self.core.masks().copy()

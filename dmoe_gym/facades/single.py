"""One environment as a `gymnasium.Env`: a batch of one."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from dmoe_gym.core import BatchedCore
from dmoe_gym.facades.viewing import Window, watched
from dmoe_gym.registration import create_core
from dmoe_gym.rendering import Viewer


class SingleEnv(gym.Env):
    """A `BatchedCore` with one environment, seen through Gymnasium's interface.

    Args:
        env_id: its own; set by the registration.
        scenario: name of a scenario; None for the environment's default.
        render_mode: None, "rgb_array", "ansi" or "human".
        overrides: fields of the system's configuration.

    Raises:
        ValueError: for an unknown scenario, override or render mode, or an invalid value.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (as Gymnasium declares it)
        "render_modes": list(Viewer.modes),
        "render_fps": 2,
    }

    def __init__(
        self, env_id: str, scenario: str | None = None, render_mode: str | None = None, **overrides: Any
    ) -> None:
        self.core: BatchedCore = create_core(env_id, 1, scenario, overrides)
        self.render_mode = render_mode
        self._viewer = watched(self.core, env_id, render_mode, Viewer.modes)
        self.observation_space = self.core.observation_space
        self.action_space = self.core.action_space
        self._window: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Start the next episode; with a seed, episode 0 of that seed.

        `options={"environment_index": i}` with a seed gives the episodes of environment i of a batch with that seed.

        Raises:
            ValueError: for an unknown option, or an environment index that is no index or comes without a seed.
        """
        options = dict(options or {})
        index = options.pop("environment_index", None)
        if options:
            raise ValueError(f"options: unknown key {next(iter(options))!r}; valid is 'environment_index'")
        if index is not None and seed is None:
            raise ValueError(f"options['environment_index'] = {index!r}: valid only together with a seed")
        if index is not None and (isinstance(index, bool) or not isinstance(index, int | np.integer) or index < 0):
            raise ValueError(f"options['environment_index'] = {index!r}: valid are whole numbers of at least 0")
        super().reset(seed=seed)
        if seed is not None:
            self.core.seed([0], [(seed, int(index or 0))])
        self._np_random = self.core.generators[0]
        self.core.start(self.core.all_rows)
        if self.render_mode == "human":
            self.render()
        return self._observation(), self._mask_info()

    def step(self, action: Any) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Apply one action.

        Raises:
            ValueError: if the action lies outside the action space.
            RuntimeError: before the first `reset`, and after an episode's end before the next.
        """
        core = self.core
        if core.terminated.item(0):
            raise RuntimeError("no episode is running: call reset() before step()")
        core.step(core.checked_actions(np.asarray(action)[None]), core.all_rows)
        info = core.terms_of(0)
        if core.masked:
            info.update(self._mask_info())
        if self.render_mode == "human":
            self.render()
        return self._observation(), core.rewards.item(0), core.terminated.item(0), False, info

    def _observation(self) -> dict[str, np.ndarray]:
        return {key: values.copy() for key, values in self.core.first_observation.items()}

    def _mask_info(self) -> dict[str, Any]:
        return {"action_mask": self.core.masks()[0].astype(np.int8)} if self.core.masked else {}

    def render(self) -> Any:
        """A picture (rgb_array), text (ansi), or nothing (human: drawn in a window)."""
        if self._viewer is None:
            gym.logger.warn("render() without render_mode: name one in gym.make(..., render_mode=...)")
            return None
        if self.render_mode == "human":
            self._window = self._window or Window(self.metadata["render_fps"])
            self._window.show(self._viewer.render(self.core, 0, "rgb_array"))
            return None
        return self._viewer.render(self.core, 0, str(self.render_mode))

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    # --- what schedulers and tests of one environment ask for

    @property
    def config(self) -> Any:
        """The system's configuration."""
        return self.core.config

    @property
    def round(self) -> Any:
        """The true current round (DMoE: `Round`); what looks at it is a bound or an oracle, never a policy."""
        return self.core.round(0)  # type: ignore[attr-defined]

    @property
    def observed_round(self) -> Any:
        """The current round as the scheduler sees it; the true one under perfect knowledge."""
        return self.core.observed_round(0)

    @property
    def schedule(self) -> Any:
        """What the last step decided."""
        return self.core.schedule(0)  # type: ignore[attr-defined]

    def encode(self, schedule: Any) -> np.ndarray:
        """The action that decodes to a feasible schedule; only where the action space can say every schedule."""
        if not hasattr(self.core, "encode"):
            raise NotImplementedError(f"{type(self.core).__name__}: its actions cannot name a whole schedule")
        return self.core.encode(schedule)


class MaskedSingleEnv(SingleEnv):
    """A single environment whose core has action masks."""

    def action_masks(self) -> np.ndarray:
        """(actions,) bool: the feasible actions, as sb3-contrib's MaskablePPO asks for them."""
        return self.core.masks()[0].copy()

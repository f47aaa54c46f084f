"""One environment as a `gymnasium.Env`: a batch of one."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from dmoe_gym.facades.manual import told
from dmoe_gym.facades.view import FRAMES_PER_SECOND, create_view, seeded_pair, told_seed, watched
from dmoe_gym.io.extras import needed_for
from dmoe_gym.rendering import Viewer
from dmoe_gym.residual import FeatureCore


class SingleEnv(gym.Env):
    """A `BatchedCore` with one environment, seen through Gymnasium's interface.

    Args:
        registered_id: set by the registration.
        scenario: name of a scenario; None for the environment's default.
        render_mode: None, "rgb_array", "ansi" or "human".
        overrides: fields of the system's configuration.

    Raises:
        UnknownFieldError: for an override that the configuration does not have.
        ValueError: for an unknown scenario or render mode, or an invalid value.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (as Gymnasium declares it)
        "render_modes": list(Viewer.modes),
        "render_fps": FRAMES_PER_SECOND,
    }

    def __init__(
        self, registered_id: str, scenario: str | None = None, render_mode: str | None = None, **overrides: Any
    ) -> None:
        self.view = create_view(registered_id, 1, scenario, overrides)
        self.core = self.view.core
        self.render_mode = render_mode
        self._viewer = watched(self.core, registered_id, render_mode, Viewer.modes)
        self.observation_space = self.view.observation_space
        self.action_space = self.view.action_space
        self._window: Any = None
        self.__doc__ = told(registered_id, self.view)
        self._tell_seed()

    def __getstate__(self) -> dict[str, Any]:
        # a copy has no window before it shows something
        return {**self.__dict__, "_window": None}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start the next episode; with a seed, episode 0 of that seed.

        `options={"environment_index": i}` with a seed gives the episodes of environment i of a batch with that seed.
        Info has the keys that it has after a step; terms are 0, for nothing is decided yet.

        Raises:
            ValueError: for an unknown option, a seed or an environment index that is no whole number of at least 0, or
                an index without a seed.
        """
        core = self.core
        pair = seeded_pair(seed, options)
        if pair is not None:
            core.seed([0], [pair])
            self._tell_seed()
        elif self._np_random is not core.generators[0]:  # a generator that the caller has set
            core.generators[0] = self.np_random
            core.forget(0)
        core.start(core.all_rows)
        if self.render_mode == "human":
            self.render()
        return self.view.first(), {**dict.fromkeys(core.terms, 0.0), **self._mask_info()}

    def _tell_seed(self) -> None:
        """`np_random_seed` is the number that gives the episodes again."""
        self._np_random = self.core.generators[0]
        self._np_random_seed = told_seed(*self.core.seeds[0])

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Apply one action.

        Raises:
            ValueError: if the action is no member of the action space.
            RuntimeError: before the first `reset`, and after an episode's end before the next.
        """
        core = self.core
        if core.terminated.item(0):
            raise RuntimeError("no episode is running: call reset() before step()")
        core.step(core.checked_actions.single(action), core.all_rows)
        info = core.terms_of(0)
        if core.masked:
            info.update(self._mask_info())
        if self.render_mode == "human":
            self.render()
        return self.view.first(), core.rewards.item(0), core.terminated.item(0), False, info

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
        return self.core.round(0)

    @property
    def observed_round(self) -> Any:
        """The current round as the scheduler sees it; the true one under perfect knowledge."""
        return self.core.observed_round(0)

    @property
    def schedule(self) -> Any:
        """What the last step decided."""
        return self.core.schedule(0)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the entries of an observation mean that is one vector of features, in their order."""
        if not isinstance(self.core, FeatureCore):
            raise AttributeError(f"{type(self.core).__name__}: its observations have keys, which name them")
        return self.core.entry_names

    def encode(self, schedule: Any) -> np.ndarray:
        """The action that decodes to a feasible schedule; only where the action space can say every schedule."""
        # what corrects a schedule inherits from what names one
        if not hasattr(self.core, "encode") or isinstance(self.core, FeatureCore):
            raise NotImplementedError(f"{type(self.core).__name__}: its actions cannot name a whole schedule")
        return self.core.encode(schedule)


class MaskedSingleEnv(SingleEnv):
    """A single environment whose core has action masks."""

    def action_masks(self) -> np.ndarray:
        """(actions,) bool: the feasible actions, as sb3-contrib's MaskablePPO asks for them."""
        return self.core.masks()[0].copy()


class MultiObjectiveEnv(SingleEnv):
    """The same episodes with what is spent and what is lost apart: minus energy or latency in the unit of the cost, and
    minus the shortfall or the share of wrong answers.

    The product with `reward_weights`, which are 1 and the configuration's price, is the scalar environment's reward to
    the last bit (MO-Gymnasium's `LinearReward`). For that the entries may be off by their last digits.

    Attributes:
        reward_space: Box (2,) float64.
        reward_weights: (2,) float64.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.__doc__ = f"{type(self).__doc__}\n\n{self.__doc__}"
        self.reward_space = spaces.Box(-np.inf, 0.0, (2,), np.float64)
        self.reward_weights = np.array([1.0, self.core.priced(0)[1]])

    def step(self, action: Any) -> tuple[Any, np.ndarray, bool, bool, dict[str, Any]]:  # type: ignore[override]
        """As `SingleEnv.step`, with a reward (2,) float64."""
        observation, reward, terminated, truncated, info = super().step(action)
        lost, price = self.core.priced(0)
        vector = np.array([min(0.0, reward + price * lost), 0.0 - lost])
        # half way between two numbers a sum becomes the even one, whatever is spent: then what is lost gives way
        while np.dot(vector, self.reward_weights) != reward:
            vector[1] = np.nextafter(vector[1], 0.0)
            vector[0] = min(0.0, reward - price * vector[1])
        return observation, vector, terminated, truncated, info


class Window:
    """Shows pictures one after the other with pygame.

    pygame has one window in a process, which Gymnasium's own environments use too. It is opened again where another
    one closed it, and left open as long as somebody else shows something.

    Raises:
        ImportError: with the command that installs pygame, if it is missing.
    """

    # windows of this suite that are open, and the size that the last of them gave the one there is
    _open: ClassVar[set[Window]] = set()
    _size: ClassVar[tuple[int, int] | None] = None

    def __init__(self, frames_per_second: int) -> None:
        with needed_for("render_mode='human'"):
            import pygame  # noqa: F401
        self._frames_per_second = frames_per_second
        self._clock: Any = None

    def show(self, picture: np.ndarray) -> None:
        """Draw a (height, width, 3) uint8 picture and wait for the frame's end."""
        import pygame

        size = picture.shape[1], picture.shape[0]
        surface = pygame.display.get_surface()
        if surface is None or surface.get_size() != size:
            surface = pygame.display.set_mode(size)
            pygame.display.set_caption("dmoe_gym")
        Window._open.add(self)
        Window._size = size
        pygame.event.pump()
        surface.blit(pygame.surfarray.make_surface(picture.swapaxes(0, 1)), (0, 0))
        pygame.display.flip()
        self._clock = self._clock or pygame.time.Clock()
        self._clock.tick(self._frames_per_second)

    def close(self) -> None:
        """Close the window, unless another environment shows something in it."""
        import pygame

        Window._open.discard(self)
        if Window._open or not pygame.display.get_init():
            return
        surface = pygame.display.get_surface()
        if surface is None or surface.get_size() == Window._size:
            pygame.display.quit()

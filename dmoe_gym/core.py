"""The one shape of every environment in the suite: a batch of environments advanced together.

A system implements a `BatchedCore`; the facades (`gym.Env`, `gymnasium.vector.VectorEnv`, Stable-Baselines3's
`VecEnv`) only translate it, so an episode is the same in all of them, bit for bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from gymnasium import spaces

from dmoe_gym.actions import ActionCheck
from dmoe_gym.compiled.draws import Generators
from dmoe_gym.config import StrictConfig
from dmoe_gym.line_up import LineUp


class BatchedCore(ABC):
    """A batch of environments of one kind.

    Randomness: one generator per environment, from (seed, environment index). An episode draws a fixed count of
    numbers whatever the actions, and an episode left early draws its rest before the next one starts; so episode k
    of environment i is a function of (seed, i, k) alone.

    Attributes:
        num_envs: size of the batch.
        config: the system's configuration.
        seeds: (seed, environment index) of every environment's episodes.
        observation_space, action_space: of one environment.
        observations: one float32 array per key, (num_envs, ...); owned by the core and overwritten by every step.
        first_observation: environment 0's part of each, the same memory.
        rewards: (num_envs,) float64; terminated: (num_envs,) bool, True also before the first episode.
        terms: named reward terms with their unit in the name, (num_envs,) float64 each, of the last step.
        term_values: (num_envs, terms) what `terms` names, columns in its order.
        rounds_per_episode: what sums of terms over an episode are divided by to give means per round.
    """

    render_modes: ClassVar[tuple[str, ...]] = ()
    # does the action space need masks (`masks()`)?
    masked: ClassVar[bool] = False
    # does one action decide a whole round, so that `check` can judge it?
    decides_rounds: ClassVar[bool] = False
    # bounds by name: functions of the true round that return terms; they are no policies
    bounds: Mapping[str, Callable[[Any], dict[str, float]]] = MappingProxyType({})
    # bounds by name on what a round is expected to cost: functions of the round as observed, and of how many preceded
    # it, that return terms
    observed_bounds: Mapping[str, Callable[[Any, int], dict[str, float]]] = MappingProxyType({})
    # bounds of whole episodes by name: functions of all true rounds that return terms, means per round
    episode_bounds: Mapping[str, Callable[[list[Any]], dict[str, float]]] = MappingProxyType({})

    observation_space: spaces.Dict
    action_space: spaces.Space
    observations: dict[str, np.ndarray]
    first_observation: dict[str, np.ndarray]
    terms: dict[str, np.ndarray]
    term_values: np.ndarray
    rounds_per_episode: int

    def __init__(self, num_envs: int, config: StrictConfig) -> None:
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise ValueError(f"num_envs = {num_envs!r}: valid are whole numbers of at least 1")
        self.num_envs = int(num_envs)
        self.config = config
        self.all_rows = np.arange(self.num_envs)
        entropy: int = np.random.SeedSequence().entropy  # type: ignore[assignment]
        self.seeds: list[tuple[int, int]] = [(entropy, row) for row in range(self.num_envs)]
        self.generators = Generators(_generator(*pair) for pair in self.seeds)
        self.rewards = np.zeros(self.num_envs)
        self.terminated = np.ones(self.num_envs, np.bool_)

    @classmethod
    @abstractmethod
    def create(cls, num_envs: int, scenario: str | None = None, /, **overrides: Any) -> Self:
        """A core for a named scenario with some configuration fields overridden.

        Raises:
            ValueError: for an unknown scenario or override, or an invalid value.
        """

    @classmethod
    @abstractmethod
    def line_up(cls, env_id: str, scenario: str | None = None, **overrides: Any) -> LineUp:
        """The analytic policies and bounds of an environment.

        Raises:
            ValueError: for an unknown scenario or override.
        """

    def seed(self, rows: Iterable[int], seeds: Sequence[tuple[int, int]]) -> None:
        """Give the environments in `rows` new generators, each from its (seed, environment index)."""
        for row, (seed, index) in zip(rows, seeds, strict=True):
            self.generators[row] = _generator(seed, index)
            self.seeds[row] = seed, index
            self.forget(row)

    @abstractmethod
    def forget(self, row: int) -> None:
        """Forget the running episode of an environment that was just seeded: nothing of it is left to draw."""

    @abstractmethod
    def start(self, rows: np.ndarray) -> None:
        """Start the next episode of the environments in `rows` and write their observations."""

    @abstractmethod
    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        """Apply actions[row] to every environment in `rows`; write observations, rewards, terminated and terms.

        Actions are in the action space; the facades have checked that. The terminal observation repeats the last
        round's. Environments that terminated must be started again before the next step.
        """

    def masks(self) -> np.ndarray:
        """(num_envs, actions) bool, which actions are feasible now; only where `masked`."""
        raise NotImplementedError(f"{type(self).__name__} needs no action masks")

    def record(self) -> None:  # noqa: B027 - not every system needs it
        """Keep from now on what pictures need beyond the state; a facade with a render mode calls it once."""

    def terms_of(self, row: int) -> dict[str, Any]:
        """The terms of one environment's last step."""
        return {name: float(values[row]) for name, values in self.terms.items()}

    def metrics(self, means: dict[str, float]) -> dict[str, float]:
        """An episode's terms, means per round, with what the system derives from them for tables."""
        return means

    @abstractmethod
    def decided_rounds(self, row: int) -> int:
        """How many rounds of one environment's episode are decided."""

    @abstractmethod
    def round(self, row: int) -> Any:
        """The true current round of one environment, in the system's own type."""

    def observed_round(self, row: int) -> Any:
        """The current round of one environment as schedulers see it: decisions are checked against it."""
        return self.round(row)

    @abstractmethod
    def schedule(self, row: int) -> Any:
        """What the last step of one environment decided, in the system's own type."""

    @abstractmethod
    def check(self, round: Any, schedule: Any) -> list[str]:
        """The constraints of a round that a schedule violates, in words."""

    @abstractmethod
    def skip_round(self, rows: np.ndarray) -> None:
        """Move on to the next round, or the episode's end, without a decision: for bounds."""

    def render(self, row: int, mode: str) -> Any:
        """A picture (rgb_array) or text (ansi) of one environment."""
        raise NotImplementedError(f"{type(self).__name__} has no render mode {mode!r}")

    @cached_property
    def action_check(self) -> ActionCheck:
        """How facades read actions before `step` sees them."""
        return ActionCheck(self.action_space, self.num_envs)

    def checked_actions(self, actions: Any) -> np.ndarray:
        """Actions for the whole batch as the array that `step` takes.

        Raises:
            ValueError: if one is no member of the action space, naming environment, entry and what is valid.
        """
        return self.action_check.batch(actions)


def _generator(seed: int, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index,))))

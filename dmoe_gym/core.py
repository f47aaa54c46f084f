"""The one shape of every environment in the suite: a batch of environments advanced together.

A system implements a `BatchedCore`; the facades (`gym.Env`, `gymnasium.vector.VectorEnv`, Stable-Baselines3's
`VecEnv`) only translate it, so an episode is the same in all of them, bit for bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from gymnasium import spaces

from dmoe_gym.compiled.draws import Generators
from dmoe_gym.compiled.njit import njit
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
        self.generators = Generators(
            np.random.Generator(np.random.PCG64(sequence)) for sequence in np.random.SeedSequence().spawn(self.num_envs)
        )
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
            sequence = np.random.SeedSequence(seed, spawn_key=(index,))
            self.generators[row] = np.random.Generator(np.random.PCG64(sequence))
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
    def _action_limits(self) -> tuple[tuple[int, ...], np.ndarray | None]:
        """The shape of a batch of actions, and how many values its entries have; None where they are real numbers."""
        space = self.action_space
        shape = (self.num_envs, *(space.shape or ()))
        if isinstance(space, spaces.Box):
            return shape, None
        if isinstance(space, spaces.MultiBinary):
            return shape, np.full(space.shape, 2)
        size = space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n  # type: ignore[attr-defined]
        return shape, np.atleast_1d(size).astype(np.int64)

    def checked_actions(self, actions: Any) -> np.ndarray:
        """Actions for the whole batch as the array that `step` takes.

        Raises:
            ValueError: if one lies outside the action space, naming environment, entry and what is valid.
        """
        array = np.asarray(actions)
        shape, sizes = self._action_limits
        usual = sizes is not None and array.dtype == np.int64 and array.shape == shape
        if usual and _all_within(array if array.ndim == 2 else array[:, None], sizes):
            return array
        space = self.action_space
        if array.shape != shape:
            raise ValueError(
                f"action: has shape {array.shape[1:]} in a batch of {array.shape[:1]}, "
                f"valid is {_in_words(space)} in a batch of {shape[:1]}"
            )
        # Stable-Baselines3 answers a MultiBinary space with 0.0 and 1.0, and Gymnasium counts those as members
        real = isinstance(space, spaces.Box | spaces.MultiBinary)
        if array.dtype.kind not in ("biuf" if real else "biu"):
            valid = "real" if real else "whole"
            raise ValueError(f"action: has dtype {array.dtype}, valid are {valid} numbers of {_in_words(space)}")
        if isinstance(space, spaces.Box):
            array = array.astype(space.dtype, copy=False)
            wrong = ~((array >= space.low) & (array <= space.high))
        elif isinstance(space, spaces.MultiBinary):
            wrong = (array != 0) & (array != 1)
        else:
            size = space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n  # type: ignore[attr-defined]
            wrong = (array < 0) | (array >= size)
        if wrong.any():
            index = tuple(int(part) for part in np.argwhere(wrong)[0])
            raise ValueError(f"action{list(index)} = {array[index]}: valid is {_in_words(space)}")
        return array if isinstance(space, spaces.Box) else array.astype(np.int64, copy=False)


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

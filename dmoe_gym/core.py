"""The one shape of every environment in the suite: a batch of environments advanced together, round by round.

A system implements a `BatchedCore`; the facades (`gym.Env`, `gymnasium.vector.VectorEnv`, Stable-Baselines3's
`VecEnv`) only translate it, so an episode is the same in all of them, bit for bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import numpy as np
from gymnasium import spaces

from dmoe_gym.actions import ActionCheck
from dmoe_gym.compiled.draws import Generators
from dmoe_gym.compiled.njit import njit
from dmoe_gym.config import SystemConfig, require_memory


class Watcher(Protocol):
    """Who is told of a core's rounds, for pictures (`rendering.recorder.Recorder`)."""

    def begin_round(self, core: Any, rows: np.ndarray) -> None:
        """The environments in `rows` have begun a round."""

    def keep_round(self, core: Any, rows: np.ndarray) -> None:
        """They have decided one and still hold it."""


class BatchedCore(ABC):
    """A batch of environments of one kind, whose episodes are a fixed number of rounds.

    Subclasses say what a round is, how it is drawn and observed, and what an action does to it.

    Randomness: one generator per environment, from (seed, environment index). An episode draws a fixed count of
    numbers whatever the actions, and an episode left early draws its rest before the next one starts; so episode k
    of environment i is a function of (seed, i, k) alone.

    Attributes:
        num_envs: size of the batch.
        config: the system's configuration.
        seeds: (seed, environment index) of every environment's episodes.
        observation_space, action_space: of one environment.
        observations: one float32 array per key, (num_envs, ...); owned by the core and overwritten by every step.
            Where the observation space is no dictionary they are one array, under the name `alone`.
        first_observation: environment 0's part of each, the same memory.
        rewards: (num_envs,) float64; terminated: (num_envs,) bool, True also before the first episode.
        terms: named reward terms with their unit in the name, (num_envs,) float64 each, of the last step.
        term_values: (num_envs, terms) what `terms` names, columns in its order.
        rounds_per_episode: what sums of terms over an episode are divided by to give means per round.
        layer: (num_envs,) number of the current round, 1 to `rounds_per_episode`; 0 before the first episode.
        progress: (num_envs, 1) float32, its share of the episode.
        recorder: told of every round, where pictures are wanted.
    """

    # the key of the one observation that stands for itself, without a dictionary; None for a dictionary of all
    alone: ClassVar[str | None] = None
    # does the action space need masks (`masks()`)?
    masked: ClassVar[bool] = False
    # does one action decide a whole round, so that `check` can judge it?
    decides_rounds: bool = False
    term_names: ClassVar[tuple[str, ...]]
    # for `facades.manual`: what the reward is; by key, "(K, N): meaning" of an observation; by part, "K*N: meaning" of
    # so many entries of an action
    reward: str = "minus the cost"
    meaning: Mapping[str, str] = MappingProxyType({})
    entries: Mapping[str, str] = MappingProxyType({})
    # largest value of each observation; the smallest is 0
    _upper: ClassVar[Mapping[str, float]]

    observation_space: spaces.Space
    action_space: spaces.Space
    observations: dict[str, np.ndarray]
    first_observation: dict[str, np.ndarray]
    terms: dict[str, np.ndarray]
    recorder: Watcher | None = None

    def __init__(self, num_envs: int, config: SystemConfig, rounds_per_episode: int) -> None:
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise ValueError(f"num_envs = {num_envs!r}: valid are whole numbers of at least 1")
        # a generator and what belongs to it are worth about as many numbers
        require_memory(int(num_envs) * (config.numbers() + 1000), f"num_envs = {num_envs}")
        self.num_envs = int(num_envs)
        self.config = config
        self.rounds_per_episode = rounds_per_episode
        self.all_rows = np.arange(self.num_envs)
        entropy: int = np.random.SeedSequence().entropy  # type: ignore[assignment]
        self.seeds = [(entropy, row) for row in range(self.num_envs)]
        self.generators = Generators(_generator(*pair) for pair in self.seeds)
        self.rewards = np.zeros(self.num_envs)
        self.terminated = np.ones(self.num_envs, np.bool_)
        self.layer = np.zeros(self.num_envs, np.int64)
        self.progress = np.zeros((self.num_envs, 1), np.float32)
        self.term_values = np.zeros((self.num_envs, len(self.term_names)))

    # --- spaces and names

    def _build_spaces(self) -> None:
        """Name terms and observations and derive the spaces; called when a subclass has made its arrays."""
        self._name_views()
        self.observation_space = self._observation_space()
        self.action_space = self._action_space()

    def _observation_space(self) -> spaces.Space:
        upper = self._largest()
        return spaces.Dict(
            {key: spaces.Box(0, upper[key], array.shape[1:], np.float32) for key, array in self.observations.items()}
        )

    def _name_views(self) -> None:
        self.terms = {name: self.term_values[:, column] for column, name in enumerate(self.term_names)}
        self.observations = self._observations()
        self.first_observation = {key: values[0] for key, values in self.observations.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # a copied or unpickled core must see its own values under their names and not copies of views
        self.__dict__.update(state)
        self._name_views()

    @abstractmethod
    def _observations(self) -> dict[str, np.ndarray]:
        """The core's own arrays by the names under which they are observed."""

    def _largest(self) -> Mapping[str, float]:
        return self._upper

    @abstractmethod
    def _action_space(self) -> spaces.Space:
        """Of one environment."""

    @cached_property
    def checked_actions(self) -> ActionCheck:
        """Checks actions for the whole batch and gives them as the array that `step` takes."""
        return ActionCheck(self.action_space, self.num_envs)

    # --- episodes

    def seed(self, rows: Iterable[int], seeds: Sequence[tuple[int, int]]) -> None:
        """Give the environments in `rows` new generators, each from its (seed, environment index)."""
        for row, (seed, index) in zip(rows, seeds, strict=True):
            self.generators[row] = _generator(seed, index)
            self.seeds[row] = seed, index
            self.forget(row)

    def forget(self, row: int) -> None:
        """Leave the running episode of an environment that has a new generator: nothing of it is left to draw."""
        self.layer[row] = 0

    def start(self, rows: np.ndarray) -> None:
        """Start the next episode of the environments in `rows` and write their observations."""
        # an episode left early draws its rest, so that the next one does not depend on when that was
        left = self.rounds_per_episode - self.layer[rows]
        for row in rows[(left > 0) & (left < self.rounds_per_episode)]:
            for _ in range(self.rounds_per_episode - self.layer[row]):
                self._draw_next_round(np.array([row]))
        self.layer[rows] = 1
        self.progress[rows] = 1 / self.rounds_per_episode
        self.terminated[rows] = False
        self._begin_round(rows, first=True)

    @abstractmethod
    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        """Apply actions[row] to every environment in `rows`; write observations, rewards, terminated and terms.

        Actions are in the action space; the facades have checked that. The terminal observation repeats the last
        round's. Environments that terminated must be started again before the next step.
        """

    def masks(self) -> np.ndarray:
        """(num_envs, actions) bool, which actions are feasible now; only where `masked`."""
        raise NotImplementedError(f"{type(self).__name__} needs no action masks")

    def _begin_round(self, rows: np.ndarray, first: bool) -> None:
        """Draw and observe the round that `layer` and `progress` count already."""
        if first:
            self._draw_first_round(rows)
        else:
            self._draw_next_round(rows)
        self._observe_round(rows)

    @abstractmethod
    def _draw_first_round(self, rows: np.ndarray) -> None:
        """Draw a new episode's first round for the environments in `rows`, from their own generators."""

    @abstractmethod
    def _draw_next_round(self, rows: np.ndarray) -> None:
        """Draw the next round for the environments in `rows`, from their own generators."""

    @abstractmethod
    def _observe_round(self, rows: np.ndarray) -> None:
        """Write the observations of the current round."""

    def _finish_round(self, rows: np.ndarray) -> None:
        """Move environments whose round is complete one round on, or terminate them."""
        if self.recorder is not None:
            self.recorder.keep_round(self, rows)
        if _move_on(rows, self.layer, self.rounds_per_episode, self.terminated, self.progress):
            rows = rows[~self.terminated[rows]]
        if len(rows):
            self._begin_round(rows, first=False)

    def skip_round(self, rows: np.ndarray) -> None:
        """Move on to the next round, or the episode's end, without a decision: for bounds."""
        self._finish_round(rows)

    def decided_rounds(self, rows: np.ndarray | int) -> np.ndarray:
        """How many rounds of some environments' episodes are decided, or of one's; int64."""
        layers = self.layer[rows]
        return np.where(self.terminated[rows], layers, np.maximum(layers - 1, 0))

    # --- one environment

    def terms_of(self, row: int) -> dict[str, Any]:
        """The terms of one environment's last step."""
        return dict(zip(self.term_names, self.term_values[row].tolist(), strict=True))

    def priced(self, row: int) -> tuple[float, float]:
        """What the cost of one environment's last step has beside what it spends, and the price of one unit of that.

        Raises:
            NotImplementedError: where the cost has one part.
        """
        raise NotImplementedError(f"{type(self).__name__}: its cost has one part")

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


def _generator(seed: int, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(index,))))


@njit
def _move_on(rows, layer, last, terminated, progress):
    """Count the next round, or mark the end; return how many ended."""
    ended = 0
    for row in rows:
        if layer[row] == last:
            terminated[row] = True
            ended += 1
        else:
            layer[row] += 1
            progress[row, 0] = layer[row] / last
    return ended

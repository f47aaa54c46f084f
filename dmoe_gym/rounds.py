"""Cores whose episodes are a fixed number of rounds that are drawn whatever the actions are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from gymnasium import spaces

from dmoe_gym.compiled.njit import njit
from dmoe_gym.config import StrictConfig
from dmoe_gym.core import BatchedCore


class RoundsCore(BatchedCore):
    """Draws, counts and observes rounds; subclasses say what a round is and what an action does to it.

    Attributes:
        layer: (num_envs,) number of the current round, 1 to `rounds_per_episode`; 0 before the first episode.
        progress: (num_envs, 1) float32, its share of the episode.
    """

    default_scenario: ClassVar[str]
    term_names: ClassVar[tuple[str, ...]]
    # largest value of each observation; the smallest is 0
    _upper: ClassVar[Mapping[str, float]]

    def __init__(self, num_envs: int, config: StrictConfig, rounds_per_episode: int) -> None:
        super().__init__(num_envs, config)
        self.rounds_per_episode = rounds_per_episode
        self.layer = np.zeros(num_envs, np.int64)
        self.progress = np.zeros((num_envs, 1), np.float32)
        self.term_values = np.zeros((num_envs, len(self.term_names)))

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

    @staticmethod
    @abstractmethod
    def named_scenario(name: str) -> Any:
        """The configuration of that name; a ValueError lists the valid ones."""

    @classmethod
    def create(cls, num_envs: int, scenario: str | None = None, /, **overrides: Any) -> Self:
        return cls(num_envs, cls._config(scenario, overrides))  # type: ignore[call-arg]

    @classmethod
    def _config(cls, scenario: str | None, overrides: Mapping[str, Any]) -> Any:
        return cls.named_scenario(cls.default_scenario if scenario is None else scenario).replace(**overrides)

    # --- episodes

    def forget(self, row: int) -> None:
        self.layer[row] = 0

    def start(self, rows: np.ndarray) -> None:
        # an episode left early draws its rest, so that the next one does not depend on when that was
        left = self.rounds_per_episode - self.layer[rows]
        for row in rows[(left > 0) & (left < self.rounds_per_episode)]:
            for _ in range(self.rounds_per_episode - self.layer[row]):
                self._draw_next_round(np.array([row]))
        self.layer[rows] = 1
        self.progress[rows] = 1 / self.rounds_per_episode
        self.terminated[rows] = False
        self._begin_round(rows, first=True)

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

    def _observe_round(self, rows: np.ndarray) -> None:
        """Write the observations of the current round."""

    def _finish_round(self, rows: np.ndarray) -> None:
        """Move environments whose round is complete one round on, or terminate them."""
        if _move_on(rows, self.layer, self.rounds_per_episode, self.terminated, self.progress):
            rows = rows[~self.terminated[rows]]
        if len(rows):
            self._begin_round(rows, first=False)

    def decided_rounds(self, row: int) -> int:
        """How many rounds of one environment's episode are decided."""
        layer = int(self.layer[row])
        return layer if self.terminated[row] else max(0, layer - 1)

    def terms_of(self, row: int) -> dict[str, Any]:
        return dict(zip(self.term_names, self.term_values[row].tolist(), strict=True))

    def skip_round(self, rows: np.ndarray) -> None:
        self._finish_round(rows)


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

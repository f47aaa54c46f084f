"""An episode's rounds as pictures need them: copied when they are decided, worked out when a picture is drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np

Core = TypeVar("Core")
Decided = TypeVar("Decided")


class Recorder(ABC, Generic[Core, Decided]):
    """What was decided in every round of every environment's current episode.

    A core has one only where a facade has a render mode. Stable-Baselines3's `make_vec_env` asks for one unless told
    otherwise, so keeping a round has to be cheap.

    Args:
        core: which will tell of its rounds.
    """

    def __init__(self, core: Any) -> None:
        self._rounds: list[dict[int, Decided]] = [{} for _ in range(core.num_envs)]

    def begin_round(self, core: Core, rows: np.ndarray) -> None:
        """Called when the environments in `rows` have begun a round, before any decision."""

    def keep_round(self, core: Any, rows: np.ndarray) -> None:
        """Called when the environments in `rows` have decided a round and still hold it."""
        for row in rows.tolist():
            number = int(core.layer[row])
            if number == 1:
                # forget the episode before
                self._rounds[row].clear()
            self._rounds[row][number] = self.decided(core, row)

    @abstractmethod
    def decided(self, core: Core, row: int) -> Decided:
        """A copy of what one environment has just decided."""

    @abstractmethod
    def scene(self, core: Core, row: int) -> Any:
        """The round to show of one environment: the one that its last step worked on; after a reset the first."""

    def get(self, row: int, number: int) -> Decided | None:
        """The round of that number, from 1; None if it was not kept."""
        return self._rounds[row].get(number)

    def values(self, row: int, count: int, value: Callable[[Decided], float]) -> np.ndarray:
        """(count,) a value of each of the first `count` rounds; NaN for one that was not kept."""
        rounds = (self.get(row, number) for number in range(1, count + 1))
        return np.array([np.nan if decided is None else value(decided) for decided in rounds], np.float64)

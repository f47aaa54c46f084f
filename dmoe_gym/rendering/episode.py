"""An episode's rounds as pictures need them: copied when they are decided, worked out when a picture is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

Decided = TypeVar("Decided")


class EpisodeRecord(Generic[Decided]):
    """What was decided in every round of every environment's current episode.

    Stable-Baselines3's `make_vec_env` asks for a render mode unless told otherwise, so keeping a round has to be cheap.

    Args:
        num_envs: size of the batch.
    """

    def __init__(self, num_envs: int) -> None:
        self._rounds: list[dict[int, Decided]] = [{} for _ in range(num_envs)]

    def keep(self, row: int, number: int, decided: Decided) -> None:
        """Keep the round of that number, from 1; the first one forgets the episode before."""
        if number == 1:
            self._rounds[row].clear()
        self._rounds[row][number] = decided

    def get(self, row: int, number: int) -> Decided | None:
        """The round of that number; None if it was not kept."""
        return self._rounds[row].get(number)

    def values(self, row: int, count: int, value: Callable[[Decided], float]) -> np.ndarray:
        """(count,) a value of each of the first `count` rounds; NaN for one that was not kept."""
        rounds = (self.get(row, number) for number in range(1, count + 1))
        return np.array([np.nan if decided is None else value(decided) for decided in rounds], np.float64)

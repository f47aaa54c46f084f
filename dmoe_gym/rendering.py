"""What pictures and texts of every system share.

A system's viewer is two files: `scene` keeps an episode's rounds, makes a scene of one and says it in words, `picture`
draws it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from dmoe_gym.io.extras import needed_for

# An ansi text shows at most so many lines of one kind.
MOST_LINES = 64
# ... and every score up to this many columns, beyond, those of the selected ones.
FULL_SCORES = 12


@dataclass(frozen=True)
class Viewer:
    """How one environment of a batch is seen.

    Attributes:
        recorder: makes a `Recorder` for a core.
        text: says a scene in words.
        picture: the module whose `draw` makes (height, width, 3) uint8 of a scene; it needs matplotlib.
    """

    modes: ClassVar[tuple[str, ...]] = ("rgb_array", "ansi", "human")
    recorder: Callable[[Any], Any]
    text: Callable[[Any], str]
    picture: str

    def render(self, core: Any, row: int, mode: str) -> Any:
        """What the last step decided in one environment, as "ansi" text or as a picture (height, width, 3) uint8.

        Args:
            core: a `BatchedCore` with a recorder.

        Raises:
            ImportError: with the command that installs matplotlib, if it is missing and a picture is asked for.
        """
        scene = core.recorder.scene(core, row)
        if mode == "ansi":
            return self.text(scene)
        with needed_for("a picture"):
            return import_module(self.picture).draw(scene)


def left_out(count: int, what: str) -> list[str]:
    """A line that says how many of `count` lines are not shown, if any."""
    return [f"... and {count - MOST_LINES} more {what}"] if count > MOST_LINES else []


def score_table(
    title: str, row: str, column: str, labels: Sequence[str], scores: np.ndarray, chosen: np.ndarray
) -> list[str]:
    """Lines of scores in columns of ten, the chosen ones with a star; of many columns the chosen ones alone.

    Args:
        title: what they are; row, column: what a row and a column is called.
        labels: of the rows.
        scores, chosen: (rows, columns).
    """
    full = scores.shape[1] <= FULL_SCORES
    lines = [title + ("" if full else f" of the selected {column}s")]
    if full:
        lines.append(f"{row:>10} " + "".join(f"{f'{column} {j}':>10}" for j in range(scores.shape[1])))
    for label, values, bits in list(zip(labels, scores, chosen, strict=True))[:MOST_LINES]:
        cells = ", ".join(f"{j}: {values[j]:.3f}*" for j in np.flatnonzero(bits))
        if full:
            cells = "".join(f"{value:9.3f}{'*' if bit else ' '}" for value, bit in zip(values, bits, strict=True))
        lines.append(f"{label:>10} " + cells)
    return lines


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

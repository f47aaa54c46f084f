"""What pictures and texts of every system share.

A system's viewer is three files: `recorder` keeps an episode's rounds and makes a scene of one, `text` says it in
words, `picture` draws it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

from dmoe_gym.io.extras import needed_for

# An ansi text shows at most so many lines of one kind.
MOST_LINES = 64


@dataclass(frozen=True)
class Viewer:
    """How one environment of a batch is seen.

    Attributes:
        recorder: makes a `rendering.recorder.Recorder` for a core.
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


def marked(values: Iterable[float], chosen: Iterable[bool]) -> str:
    """Numbers in columns of ten, the chosen ones with a star."""
    return "".join(f"{value:9.3f}{'*' if bit else ' '}" for value, bit in zip(values, chosen, strict=True))

"""What pictures and texts of every system share."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

# An ansi text shows at most so many lines of one kind.
MOST_LINES = 64


def left_out(count: int, what: str) -> list[str]:
    """A line that says how many of `count` lines are not shown, if any."""
    return [f"... and {count - MOST_LINES} more {what}"] if count > MOST_LINES else []


def drawing(module: str) -> Callable[[Any], Any]:
    """The function `draw` of a module that needs matplotlib.

    Raises:
        ImportError: with the command that installs matplotlib, if it is missing.
    """
    try:
        return import_module(module).draw
    except ImportError as error:
        raise ImportError(
            f"render_mode='rgb_array' needs matplotlib: pip install 'dmoe_gym[render]' ({error})"
        ) from None

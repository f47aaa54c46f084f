"""Tables for documentation pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def markdown(headings: Sequence[str], body: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; the first column is text, the others are aligned to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *body]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)

"""Tables for documentation pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def markdown_table(headings: Sequence[str], body: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; the first column is text, the others are aligned to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *body]
    return "\n".join("| " + " | ".join(str(cell).replace("\n", " ") for cell in line) + " |" for line in lines) + "\n"

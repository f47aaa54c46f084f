"""Queries as rows of tokens: one family's stream of them, of which a row is a piece."""

from __future__ import annotations

import numpy as np

from dmoe_gym.models.language.families import FAMILIES, Queries
from dmoe_gym.models.language.tokens import END, encode


def families_in_turn(count: int) -> np.ndarray:
    """(count,) numbers of families, one after the other."""
    return np.arange(count) % len(FAMILIES)


def closing_window(queries: Queries, family: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """A row that ends with a whole query, the one asked; before it stands what its stream held before, cut to length.

    Args:
        queries: where they are drawn from; family: their number; length: T, at least the longest query's.

    Returns:
        tokens (T,) int64 and answered (T,) bool, the places of the last query's answer and its end.
    """
    prompt, answer = queries.ask(family)
    text = [*encode(prompt + answer), END]
    if len(text) > length:
        raise ValueError(f"length = {length}: query {prompt + answer!r} has {len(text)} tokens")
    while len(text) < length:
        text = [*encode("".join(queries.ask(family))), END, *text]
    return np.array(text[-length:]), np.arange(length) >= length - len(answer) - 1


def closing_windows(queries: Queries, families: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """A `closing_window` per family (rows,), drawn one after the other: tokens and answered, (rows, T)."""
    tokens, answered = zip(*(closing_window(queries, family, length) for family in families), strict=True)
    return np.stack(tokens), np.stack(answered)


def stream_rows(queries: Queries, families: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that begin and end anywhere in their stream, for training.

    Returns:
        tokens (rows, T) int64 and answered (rows, T) bool, the places of every answer whose prompt is whole.
    """
    tokens = np.empty((len(families), length), np.int64)
    answered = np.empty((len(families), length), np.bool_)
    for row, family in enumerate(families):
        text: list[int] = []
        places: list[bool] = []
        skipped = 0
        while len(text) < length + skipped:
            prompt, answer = queries.ask(family)
            text += [*encode(prompt + answer), END]
            places += [False] * len(prompt) + [len(places) > 0] * (len(answer) + 1)
            skipped = skipped or queries.draw(1, len(text) + 1)
        tokens[row] = text[skipped : skipped + length]
        answered[row] = places[skipped : skipped + length]
    return tokens, answered

"""Characters to token numbers and back: the vocabulary of the project's own language model."""

from __future__ import annotations

from collections.abc import Iterable

PAD, END = 0, 1
CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz+-%=:,()[]{}>"
VOCABULARY = 2 + len(CHARACTERS)
_NUMBER = {character: 2 + place for place, character in enumerate(CHARACTERS)}


def encode(text: str) -> list[int]:
    """Token numbers of a text; ValueError names a character outside the vocabulary."""
    try:
        return [_NUMBER[character] for character in text]
    except KeyError as error:
        raise ValueError(f"text {text!r}: character {error.args[0]!r} is not one of {CHARACTERS!r}") from None


def decode(tokens: Iterable[int]) -> str:
    """The text of token numbers, without padding and ends."""
    return "".join(CHARACTERS[token - 2] for token in tokens if token > END)

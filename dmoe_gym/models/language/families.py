"""Generated queries with exact answers, in ten families: what the project's own language model is asked.

A query is a prompt, which begins with its family's letter and ends with "=", and its answer. Which part a query belongs
to (train, validation, test) is a function of its prompt alone, so no prompt is ever in two parts, whatever the seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal
from zlib import crc32

import numpy as np

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


Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
# of 16 prompts 12 are for training, 2 for validation, 2 for test
_PART_OF_SIXTEENTH: tuple[Part, ...] = ("train",) * 12 + ("validation",) * 2 + ("test",) * 2

MOST_TOKENS = 16
LETTERS = "abcdefghij"
DIGITS = "0123456789"
PAIRS = {"(": ")", "[": "]", "{": "}"}
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

# draw(low, high): a whole number, low <= number < high
Draw = Callable[[int, int], int]


def _some(draw: Draw, letters: str, fewest: int, most: int) -> str:
    kinds = len(letters)
    return "".join([letters[draw(0, kinds)] for _ in range(draw(fewest, most + 1))])


def modular(draw: Draw) -> tuple[str, str]:
    """`m7+4-8%9=3`: a sum of two or three digits, modulo 2 to 9."""
    text = _some(draw, DIGITS, 1, 1)
    for _ in range(draw(1, 3)):
        text += "+-"[draw(0, 2)] + _some(draw, DIGITS, 1, 1)
    modulus = draw(2, 10)
    total = sum(int(text[place - 1 : place + 1] if place else text[0]) for place in range(0, len(text), 2))
    return f"{text}%{modulus}", str(total % modulus)


def sort(draw: Draw) -> tuple[str, str]:
    """`s38162=12368`: three to six digits in rising order."""
    text = _some(draw, DIGITS, 3, 6)
    return text, "".join(sorted(text))


def reverse(draw: Draw) -> tuple[str, str]:
    """`reahb=bhae`: three to six letters from the back."""
    text = _some(draw, LETTERS, 3, 6)
    return text, text[::-1]


def brackets(draw: Draw) -> tuple[str, str]:
    """`b([]{=})`: what closes the brackets that are open; one to four are, of at most eight."""
    closing = draw(1, 5)
    text, opened = "", ""
    while len(opened) < closing or len(text) < 3:
        if opened and (len(opened) == closing or draw(0, 3) == 0):
            text, opened = text + PAIRS[opened[-1]], opened[:-1]
        else:
            bracket = "([{"[draw(0, 3)]
            text, opened = text + bracket, opened + bracket
        if len(text) > 8:
            text, opened = "", ""
    return text, "".join(PAIRS[bracket] for bracket in reversed(opened))


def count(draw: Draw) -> tuple[str, str]:
    """`cabacca:a=4`: how often a letter stands in a text of four to nine of three letters."""
    text = _some(draw, "abc", 4, 9)
    letter = "abc"[draw(0, 3)]
    return f"{text}:{letter}", str(text.count(letter))


def lookup(draw: Draw) -> tuple[str, str]:
    """`lh4b1i9:b=1`: the digit that stands after a letter, among two to five pairs."""
    letters, values = list(LETTERS), ""
    pairs = draw(2, 6)
    chosen = [letters.pop(draw(0, len(letters))) for _ in range(pairs)]
    values = _some(draw, DIGITS, pairs, pairs)
    asked = draw(0, pairs)
    return "".join(map("".join, zip(chosen, values, strict=True))) + f":{chosen[asked]}", values[asked]


def base(draw: Draw) -> tuple[str, str]:
    """`n110101:8=65`: a binary number of three to eight digits in base 8, to seven in base 4; `n101+1101=18`: a sum."""
    if draw(0, 2) == 0:
        value, other = draw(1, 64), draw(1, 16)
        return f"{value:b}+{other:b}", str(value + other)
    bits = draw(2, 4)
    digits = draw(3, 6 + bits)
    value = draw(1 << (digits - 1), 1 << digits)
    places = range(bits * ((digits - 1) // bits), -1, -bits)
    return f"{value:b}:{1 << bits}", "".join(str(value >> place & (1 << bits) - 1) for place in places)


def date(draw: Draw) -> tuple[str, str]:
    """`d0227+5=0304`: month and day, some days later or earlier (1 to 31), in a year of 365 days."""
    day, days = draw(0, 365), draw(1, 32)
    later = draw(0, 2) == 0
    return f"{_month_day(day)}{'+' if later else '-'}{days}", _month_day((day + days if later else day - days) % 365)


def _month_day(day: int) -> str:
    month = 0
    while day >= DAYS[month]:
        day, month = day - DAYS[month], month + 1
    return f"{month + 1:02d}{day + 1:02d}"


def edit(draw: Draw) -> tuple[str, str]:
    """`eabca:a>h=hbch` replaces a letter, in a text of three or four; `eabcab:b=aca` deletes it, in three to six."""
    is_replaced = draw(0, 2) == 0
    while True:
        text = _some(draw, LETTERS[:6], 3, 4 if is_replaced else 6)
        old = text[draw(0, len(text))]
        if is_replaced:
            new = LETTERS[draw(0, len(LETTERS))]
            return f"{text}:{old}>{new}", text.replace(old, new)
        if text.strip(old):
            return f"{text}:{old}", text.replace(old, "")


def shift(draw: Draw) -> tuple[str, str]:
    """`hija+2=abc`: two to five letters moved along the alphabet by 1 to 3, forwards or back, j and a neighbours."""
    text, step = _some(draw, LETTERS, 2, 5), draw(1, 4)
    sign = 1 - 2 * draw(0, 2)
    moved = "".join(LETTERS[(LETTERS.index(letter) + sign * step) % len(LETTERS)] for letter in text)
    return f"{text}{'+' if sign > 0 else '-'}{step}", moved


# the letter that begins a family's prompts, and the family
FAMILIES: dict[str, tuple[str, Callable[[Draw], tuple[str, str]]]] = {
    "modular": ("m", modular),
    "sort": ("s", sort),
    "reverse": ("r", reverse),
    "brackets": ("b", brackets),
    "count": ("c", count),
    "lookup": ("l", lookup),
    "base": ("n", base),
    "date": ("d", date),
    "edit": ("e", edit),
    "shift": ("h", shift),
}
_FAMILIES = tuple(FAMILIES.values())


def part_of(prompt: str) -> Part:
    """The part that a prompt belongs to."""
    return _PART_OF_SIXTEENTH[crc32(prompt.encode()) % len(_PART_OF_SIXTEENTH)]


class Queries:
    """An endless stream of queries of one part, the same for the same seeds."""

    def __init__(self, part: Part, *seeds: int, block: int = 8192) -> None:
        """block: how many random numbers are drawn ahead; another block, another stream."""
        if part not in PARTS:
            raise ValueError(f"part = {part!r}: valid are {', '.join(PARTS)}")
        self.part = part
        self._generator = np.random.default_rng([PARTS.index(part), *seeds])
        self._words: list[float] = []
        self._block = block

    def draw(self, low: int, high: int) -> int:
        """A whole number, low <= number < high."""
        try:
            word = self._words.pop()
        except IndexError:
            self._words = self._generator.random(self._block).tolist()
            word = self._words.pop()
        return low + int(word * (high - low))

    def ask(self, family: int) -> tuple[str, str]:
        """The next query (prompt, answer) of the family of that number in `FAMILIES`."""
        letter, make = _FAMILIES[family]
        while True:
            text, answer = make(self.draw)
            prompt = f"{letter}{text}="
            if part_of(prompt) == self.part:
                return prompt, answer


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

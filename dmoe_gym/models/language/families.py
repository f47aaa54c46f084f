"""Generated queries with exact answers, in ten families: what the project's own language model is asked.

A query is a prompt, which begins with its family's letter and ends with "=", and its answer. Which part a query belongs
to (train, validation, test) is a function of its prompt alone, so no prompt is ever in two parts, whatever the seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal
from zlib import crc32

import numpy as np

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
# of 16 prompts 12 are for training, 2 for validation, 2 for test
_PART_OF_SIXTEENTH: tuple[Part, ...] = ("train",) * 12 + ("validation",) * 2 + ("test",) * 2

MOST_TOKENS = 24
LETTERS = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
PAIRS = {"(": ")", "[": "]", "{": "}"}
DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

Draw = Callable[[int, int], int]


def _some(draw: Draw, letters: str, count: int) -> str:
    return "".join(letters[draw(0, len(letters))] for _ in range(count))


def _distinct(draw: Draw, letters: str, count: int) -> str:
    left = list(letters)
    return "".join(left.pop(draw(0, len(left))) for _ in range(count))


def modular(draw: Draw) -> tuple[str, str]:
    """`m7+4-8%9=3`: a sum of two to four digits, modulo 2 to 9."""
    digits = [draw(0, 10) for _ in range(draw(2, 5))]
    signs = [1, *(1 - 2 * draw(0, 2) for _ in digits[1:])]
    modulus = draw(2, 10)
    text = str(digits[0]) + "".join(
        "+-"[sign < 0] + str(digit) for sign, digit in zip(signs[1:], digits[1:], strict=True)
    )
    return f"{text}%{modulus}", str(sum(sign * digit for sign, digit in zip(signs, digits, strict=True)) % modulus)


def sort(draw: Draw) -> tuple[str, str]:
    """`s38162=12368`: three to eight digits in rising order."""
    text = _some(draw, DIGITS, draw(3, 9))
    return text, "".join(sorted(text))


def reverse(draw: Draw) -> tuple[str, str]:
    """`rqkza=azkq`: three to nine letters from the back."""
    text = _some(draw, LETTERS, draw(3, 10))
    return text, text[::-1]


def brackets(draw: Draw) -> tuple[str, str]:
    """`b([]{=})`: what closes the brackets that are open; one to five are."""
    text, opened = "", ""
    closing = draw(1, 6)
    while len(opened) < closing or len(text) < 4:
        if opened and draw(0, 3) == 0:
            text, opened = text + PAIRS[opened[-1]], opened[:-1]
        elif len(opened) < closing:
            bracket = "([{"[draw(0, 3)]
            text, opened = text + bracket, opened + bracket
        if len(text) > 12:
            text, opened = "", ""
    return text, "".join(PAIRS[bracket] for bracket in reversed(opened))


def count(draw: Draw) -> tuple[str, str]:
    """`cabacca:a=3`: how often a letter stands in a text of four to twelve of four letters."""
    text = _some(draw, "abcd", draw(4, 13))
    letter = "abcd"[draw(0, 4)]
    return f"{text}:{letter}", str(text.count(letter))


def lookup(draw: Draw) -> tuple[str, str]:
    """`lk4b19:b=1` with pairs of letter and value: the value of a letter, among three to seven pairs."""
    pairs = draw(3, 8)
    letters, values = _distinct(draw, LETTERS, pairs), _some(draw, DIGITS, pairs)
    asked = draw(0, pairs)
    return "".join(map("".join, zip(letters, values, strict=True))) + f":{letters[asked]}", values[asked]


def base(draw: Draw) -> tuple[str, str]:
    """`n110101:8=65`: a binary number of three to twelve digits in base 4, 8 or 10 (base 10 only to six digits)."""
    target = (4, 8, 10)[draw(0, 3)]
    digits = draw(3, 7 if target == 10 else 13)
    value = draw(1 << (digits - 1), 1 << digits)
    if target == 10:
        # binary places as a sum with another binary number, for there are few numbers of six digits
        other = draw(1, 64)
        return f"{value:b}+{other:b}:10", str(value + other)
    answer = ""
    left = value
    while left:
        left, digit = divmod(left, target)
        answer = str(digit) + answer
    return f"{value:b}:{target}", answer


def date(draw: Draw) -> tuple[str, str]:
    """`d0227+5=0304`: month and day, some days later or earlier (1 to 40), in a year of 365 days."""
    day, days = draw(0, 365), draw(1, 41)
    later = draw(0, 2) == 0
    return f"{_month_day(day)}{'+' if later else '-'}{days}", _month_day((day + days if later else day - days) % 365)


def _month_day(day: int) -> str:
    month = 0
    while day >= DAYS[month]:
        day, month = day - DAYS[month], month + 1
    return f"{month + 1:02d}{day + 1:02d}"


def edit(draw: Draw) -> tuple[str, str]:
    """`eabcab:b>x=axcax` replaces a letter, `eabcab:b=aca` deletes it, in a text of three to eight."""
    letters = _distinct(draw, LETTERS, draw(2, 5))
    text = _some(draw, letters, draw(3, 9))
    old = text[draw(0, len(text))]
    new = "" if len(set(text)) > 1 and draw(0, 2) else LETTERS[draw(0, 26)]
    return f"{text}:{old}" + (f">{new}" if new else ""), text.replace(old, new)


def shift(draw: Draw) -> tuple[str, str]:
    """`hxyz+2=zab`: two to seven letters moved along the alphabet by 1 to 5, forwards or back."""
    text, step = _some(draw, LETTERS, draw(2, 8)), draw(1, 6)
    sign = 1 - 2 * draw(0, 2)
    moved = "".join(LETTERS[(LETTERS.index(letter) + sign * step) % 26] for letter in text)
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

    def __init__(self, part: Part, *seeds: int) -> None:
        if part not in PARTS:
            raise ValueError(f"part = {part!r}: valid are {', '.join(PARTS)}")
        self.part = part
        self._generator = np.random.default_rng([PARTS.index(part), *seeds])
        self._words: list[float] = []

    def draw(self, low: int, high: int) -> int:
        """A whole number, low <= number < high."""
        if not self._words:
            self._words = self._generator.random(8192).tolist()
        return low + int(self._words.pop() * (high - low))

    def ask(self, family: int) -> tuple[str, str]:
        """The next query (prompt, answer) of the family of that number in `FAMILIES`."""
        letter, make = _FAMILIES[family]
        while True:
            text, answer = make(self.draw)
            prompt = f"{letter}{text}="
            if part_of(prompt) == self.part:
                return prompt, answer

"""Generated queries: an independent solver gives the same answers, and no prompt is in two parts."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, timedelta

import numpy as np
import pytest

from dmoe_gym.models.language.families import (
    END,
    FAMILIES,
    MOST_TOKENS,
    PARTS,
    VOCABULARY,
    Queries,
    decode,
    encode,
    part_of,
)
from dmoe_gym.models.language.training import closing_windows, families_in_turn, stream_rows


def solve(prompt: str) -> str:
    """The answer of any prompt, read from its text alone and by other means than the generator's."""
    family, text = prompt[0], prompt[1:-1]
    if family == "m":
        assert re.fullmatch(r"\d([+-]\d){1,2}%\d", text)
        total, modulus = text.split("%")
        return str(eval(f"({total}) % {modulus}"))
    if family == "s":
        counts = Counter(text)
        return "".join(digit * counts[digit] for digit in "0123456789")
    if family == "r":
        return "".join(text[-1 - place] for place in range(len(text)))
    if family == "b":
        while (shorter := re.sub(r"\(\)|\[\]|\{\}", "", text)) != text:
            text = shorter
        return text.translate(str.maketrans("([{", ")]}"))[::-1]
    if family == "c":
        letters, asked = text.split(":")
        return str(len(letters.split(asked)) - 1)
    if family == "l":
        pairs, asked = text.split(":")
        return dict(re.findall(r"([a-z])(\d)", pairs))[asked]
    if family == "n":
        if "+" in text:
            return str(sum(int(part, 2) for part in text.split("+")))
        number, target = text.split(":")
        return np.base_repr(int(number, 2), int(target))
    if family == "d":
        month, day, sign, days = re.fullmatch(r"(\d\d)(\d\d)([+-])(\d+)", text).groups()
        # 2022 and 2023 both have 365 days, and so has 2021
        moved = date(2022, int(month), int(day)) + timedelta(int(sign + days))
        return f"{moved:%m%d}"
    if family == "e":
        letters, change = text.split(":")
        old, _, new = change.partition(">")
        return re.sub(old, new, letters)
    letters, sign, step = re.fullmatch(r"([a-j]+)([+-])([123])", text).groups()
    return "".join(chr((ord(letter) - 97 + int(sign + step)) % 10 + 97) for letter in letters)


def batch(part, count: int, *seeds: int) -> list[tuple[str, str]]:
    queries = Queries(part, *seeds)
    return [queries.ask(family) for family in families_in_turn(count)]


@pytest.mark.parametrize("part", PARTS)
def test_an_independent_solver_gives_the_same_answers(part):
    lengths = []
    for prompt, answer in batch(part, 20_000):
        assert solve(prompt) == answer, prompt
        lengths.append(len(prompt + answer) + 1)
    assert max(lengths) <= MOST_TOKENS
    assert min(lengths) <= MOST_TOKENS / 2


def test_no_prompt_is_in_two_parts_and_parts_have_their_shares():
    """The part is a function of the prompt: 12, 2 and 2 of 16 where prompts are drawn without regard to it."""
    for part in PARTS:
        assert {part_of(prompt) for prompt, _ in batch(part, 5_000, 1)} == {part}
    # all sums of two digits, the smallest family there is
    prompts = [f"m{a}{sign}{b}%{m}=" for a in range(10) for sign in "+-" for b in range(10) for m in range(2, 10)]
    counts = Counter(map(part_of, prompts))
    for part, share in zip(PARTS, (12 / 16, 2 / 16, 2 / 16), strict=True):
        # five standard deviations of a fair draw
        assert abs(counts[part] - share * len(prompts)) < 5 * np.sqrt(len(prompts) * share * (1 - share))


def test_the_same_seeds_ask_the_same_and_others_do_not():
    first = batch("test", 500, 3, 7)
    assert batch("test", 500, 3, 7) == first
    assert batch("test", 500, 3, 8) != first
    with pytest.raises(ValueError, match="part = 'tset': valid are train, validation, test"):
        Queries("tset", 0)


def test_there_are_thousands_of_queries_that_differ():
    asked = batch("test", 30_000)
    assert len(set(asked)) > 15_000


def test_tokens_are_characters():
    assert VOCABULARY == 51
    assert decode(encode("r0a>z}=")) == "r0a>z}="
    assert decode([*encode("s1=1"), END]) == "s1=1"
    with pytest.raises(ValueError, match="'R' is not one of"):
        encode("R=")


def in_words(tokens: np.ndarray) -> str:
    return "".join("." if token == END else decode([token]) for token in tokens)


def test_a_closing_window_ends_with_the_query_that_it_asks():
    families = families_in_turn(200)
    tokens, answered = closing_windows(Queries("validation", 5), families, MOST_TOKENS)
    for row, (family, asked) in enumerate(zip(tokens, answered, strict=True)):
        *_, last, empty = in_words(family).split(".")
        prompt, answer = last.split("=")
        assert empty == ""
        if len(last) < MOST_TOKENS - 1:
            assert part_of(prompt + "=") == "validation"
        assert prompt[0] == list(FAMILIES.values())[families[row]][0]
        assert solve(prompt + "=") == answer
        assert list(np.flatnonzero(asked)) == list(range(MOST_TOKENS - len(answer) - 1, MOST_TOKENS))
    with pytest.raises(ValueError, match="length = 8: query"):
        closing_windows(Queries("validation", 5), families, 8)


def test_training_asks_for_every_answer_whose_prompt_is_whole():
    tokens, answered = stream_rows(Queries("train", 0), families_in_turn(300), 48)
    for row, asked in zip(tokens, answered, strict=True):
        text, expected = in_words(row), np.zeros(48, bool)
        # a row may also begin where a query does
        begins = r"(?:^|(?<=\.))" if asked[: text.index(".")].any() else r"(?<=\.)"
        for query in re.finditer(begins + r"([^=.]+=)([^.]*\.?)", text):
            expected[slice(*query.span(2))] = True
            if query[2].endswith("."):
                assert solve(query[1]) == query[2][:-1]
        np.testing.assert_array_equal(asked, expected)
    assert answered.any(1).mean() > 0.9

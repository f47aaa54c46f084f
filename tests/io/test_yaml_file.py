"""What YAML files say is used, or refused by name and line."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoe_gym.io.yaml_file import dump_yaml, parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("-2.5E+3", -2500.0),
        (".5", 0.5),
        ("1_000", 1000),
        ("010", 10),
        ("0x1F", 31),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("'1e-4'", "1e-4"),
        ("", None),
        ("~", None),
        ("[1, {a: true}]", [1, {"a": True}]),
        ("-.inf", -math.inf),
        ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert parse_yaml(text) == value
    assert type(parse_yaml(text)) is type(value)


_BOMB = "a0: &a0 [x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 8)}]\n" for level in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: a stands there twice"),
        ("h: {r: 1, r: 2}", "line 1: r stands there twice"),
        ("1: 2", "the key 1 is no text"),
        ("[a, b]: 2", "the key a list or mapping is no text"),
        ("!!python/object/apply:os.system [ls]", "the tag .*python.* is not read"),
        ("!!binary aGk=", "the tag .*binary is not read"),
        ("a: [", "is no YAML"),
        ("a: 1\n--- \nb: 2", "is no YAML"),
        (_BOMB, r"expands to more than 100,000 values"),
        ("&a [*a]", "nested deeper than 50"),
        ("[" * 60 + "]" * 60, "nested deeper than 50"),
        ("[" * 20_000, "nested deeper than 50"),
        ("9" * 5000, "line 1: 9999"),
    ],
    ids=lambda text: text[:12],
)
def test_what_is_refused(text: str, words: str) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError, match=words) as raised:
        parse_yaml(text)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)


def test_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    for content, words in (
        (b"a: 1\na: 2", "line 2: a stands there twice"),
        (b"\xa6\xff", "is no text"),
        (b"- 1", "holds list, valid is a mapping"),
        (b"", "holds NoneType"),
        (b"a: " + b"x" * 200_000, "longer than 200,000 bytes"),
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=f"recipe.yaml: .*{words}"):
            read_yaml(file)
    file.write_text("a: 1e-3")
    assert read_yaml(file) == {"a": 1e-3}


_PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
_VALUES = st.recursive(
    _PLAIN, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=4), part, max_size=3)
)


@given(st.dictionaries(st.text(max_size=5), _VALUES, max_size=4))
def test_what_is_written_is_read_back(value: dict[str, Any]) -> None:
    assert parse_yaml(dump_yaml(value)) == value

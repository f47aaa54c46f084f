"""Files are written whole or not at all."""

import os
import re
from pathlib import Path

import pytest

from dmoe_gym.evaluation import read_rows
from dmoe_gym.io import files
from dmoe_gym.io.files import read_csv, read_json, write_csv, write_whole
from dmoe_gym.io.yaml_file import read_yaml


def test_rows_come_back_with_their_numbers(tmp_path):
    rows = [{"name": "a", "value": 0.1, "count": 3}, {"name": "b", "value": float("nan"), "extra": 1}]
    back = read_csv(write_csv(tmp_path / "deep" / "rows.csv", rows))
    assert back[0] == rows[0]
    assert back[1]["extra"] == 1
    assert back[1]["value"] != back[1]["value"]


@pytest.mark.parametrize("name", ["7", "007", "1e3", "nan"])
def test_a_policy_whose_name_looks_like_a_number_keeps_it(tmp_path, name):
    rows = [{"policy": name, "env_id": "1", "scenario": "2", "seed": 3, "cost": 0.5}]
    assert read_rows(write_csv(tmp_path / "rows.csv", rows)) == rows


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write_whole(tmp_path / "file", "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk is gone")))
    with pytest.raises(OSError, match="disk is gone"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2,3\n", "a line has more or fewer cells than the header"),
        ("a,b\n1\n", "a line has more or fewer cells than the header"),
        ("a,b,a\n1,2,3\n", "the column 'a' stands there twice"),
        (b"a\n\xff\n", "is not a readable CSV"),
        (b"a" * 101, "takes 101 bytes, valid are at most 100"),
    ],
)
def test_a_damaged_table_is_refused_by_name(tmp_path, monkeypatch, content, words):
    monkeypatch.setattr(files.read_bytes, "__defaults__", (100,))
    path = write_whole(tmp_path / "rows.csv", content)
    with pytest.raises(ValueError, match=rf"rows\.csv.*{words}") as refused:
        read_csv(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("place", ["/dev/zero", "pipe", ".", "nowhere.csv", "a" * 300])
def test_what_has_no_end_or_is_no_file_is_never_opened(tmp_path, monkeypatch, place):
    """A device is endless, and a pipe that nobody writes into is waited for for ever."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    for reader in (read_csv, read_yaml):
        with pytest.raises(ValueError, match=rf"^file = '{re.escape(place[:200])}"):
            reader(Path(place))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "a stands there twice"),
        ('{"a": [{"b": 1, "b": 1}]}', "b stands there twice"),
        ("[1]", "holds list"),
        ("[" * 100_000, "nested too deeply"),
        ("{", "is no JSON"),
        ("\ud800", "is no JSON"),
    ],
)
def test_json_of_others_is_used_whole_or_refused(text, words):
    with pytest.raises(ValueError, match=f"^theirs: .*{words}"):
        read_json(text, "theirs")

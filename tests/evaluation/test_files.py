"""Files are written whole or not at all."""

import os

import pytest

from dmoe_gym.io.files import read_csv, write_csv, write_whole


def test_rows_come_back_with_their_numbers(tmp_path):
    rows = [{"name": "a", "value": 0.1, "count": 3}, {"name": "b", "value": float("nan"), "extra": 1}]
    back = read_csv(write_csv(tmp_path / "deep" / "rows.csv", rows))
    assert back[0] == rows[0]
    assert back[1]["extra"] == 1
    assert back[1]["value"] != back[1]["value"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = write_whole(tmp_path / "file", "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk is gone")))
    with pytest.raises(OSError, match="disk is gone"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_file_is_named(tmp_path):
    path = write_whole(tmp_path / "rows.csv", "a,b\n1,2,3\n")
    with pytest.raises(ValueError, match=r"rows\.csv"):
        read_csv(path)

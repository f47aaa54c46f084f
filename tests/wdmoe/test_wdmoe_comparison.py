"""The headline comparison: its arithmetic on rows with known effects, and the command."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from baselines.__main__ import app
from baselines.wdmoe import effect, effect_cells, latency_cells
from dmoe_gym.io.files import read_csv, replace_section

# policy -> share of vanilla's latency; vanilla takes 10 ms in even and 30 ms in odd episodes
SHARES = {
    "top-2-equal": 1.0,
    "top-2-optimal": 0.5,
    "WLR-equal": 0.9,
    "WLR-optimal": 0.4,
    "greedy-equal": 0.8,
    "greedy-optimal": 0.3,
    "priced-optimal": 0.25,
}


@pytest.fixture
def rows():
    return [
        {"policy": policy, "seed": seed, "scenario": "testbed", "latency_ms": share * (30 if seed % 2 else 10)}
        for policy, share in SHARES.items()
        for seed in range(10)
    ]


def test_effects_are_paired_and_relative_to_vanillas_mean(rows):
    assert effect(rows, "WLR-optimal", "top-2-equal").mean == pytest.approx(-60)
    # the same 0.1 of every episode's latency: 1 or 3 of a mean of 20 ms
    selection = effect(rows, "WLR-optimal", "top-2-optimal")
    assert selection.mean == pytest.approx(-10)
    assert -15 <= selection.low < -10 < selection.high <= -5


def test_tables_have_a_cell_for_everything_and_a_dash_for_what_is_missing(rows):
    headings, body = latency_cells({"testbed": rows})
    assert headings == ["policy", "testbed [ms]", "relevance"]
    assert [line[0] for line in body] == list(SHARES)
    assert all(line[2] == "–" for line in body)
    headings, body = effect_cells({"testbed": rows})
    assert all(len(line) == len(headings) for line in body)


def test_the_command_writes_rows_tables_and_picture(tmp_path):
    page, picture, output = tmp_path / "page.md", tmp_path / "picture.png", tmp_path / "rows.csv"
    page.write_text("before\n<!-- wdmoe-comparison begins -->\nold\n<!-- wdmoe-comparison ends -->\nafter\n")
    options = ["--scenario", "testbed", "--output", str(output)]
    files = ["--document", str(page), "--picture", str(picture)]
    result = CliRunner().invoke(app, ["wdmoe-comparison", *options, "--episodes", "2", "--jobs", "1"])
    assert result.exit_code == 0, result.output
    assert {row["policy"] for row in read_csv(output)} == {*SHARES, "random", "exact", "lower-bound"}
    result = CliRunner().invoke(app, ["wdmoe-comparison", *options, *files, "--reuse"])
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert text.startswith("before\n<!--")
    assert text.endswith("-->\nafter\n")
    assert "old" not in text
    assert "| top-2-equal |" in text
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_page_without_the_section_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    with pytest.raises(ValueError, match="has no section"):
        replace_section(page, "wdmoe-comparison", "text")
    assert page.read_text() == "nothing here\n"

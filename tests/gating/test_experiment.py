"""The experiment's command, its statistics and its files."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner

from dmoe_gym.evaluation.statistics import Interval
from dmoe_gym.gating import GatedModel
from dmoe_gym.gating.experiment.__main__ import main
from dmoe_gym.gating.experiment.report import verdicts
from dmoe_gym.gating.experiment.statistics import CHANNEL_AWARE, NAIVE, Accuracies
from dmoe_gym.gating.experiment.store import SweepFolder
from dmoe_gym.gating.experiment.sweep import Row, SweepConfig, pieces, run_piece
from dmoe_gym.gating.experiment.train import main as train_main

QUICK = {"stage_one_epochs": 1, "stage_two_epochs": 1}


def command(*arguments: str):
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def test_interval_is_students():
    values = np.array([0.91, 0.93, 0.90, 0.96])
    result = Interval.of_few(values)
    expected = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (result.low, result.high) == pytest.approx(expected)
    signs = [Interval.of_few([value, value + 0.02, value + 0.01]).sign for value in (-0.5, -0.01, 0.5)]
    assert signs == [-1, 0, 1]
    with pytest.raises(ValueError, match="at least two"):
        Interval.of_few([0.9])


def test_differences_are_paired_by_seed():
    rows = [Row("analog", "channel_aware", "gate", 5.0, 0.0, seed, 0.9 + 0.01 * seed) for seed in range(3)]
    rows += [Row("analog", "naive", "gate", 5.0, 0.0, seed, 0.8 + 0.01 * seed) for seed in reversed(range(3))]
    np.testing.assert_allclose(Accuracies(rows, 5.0).gain("analog", CHANNEL_AWARE, NAIVE), [[0.1, 0.1, 0.1]])


def test_command_goes_on_where_it_stopped_and_publishes_the_tables(tmp_path):
    out, page = tmp_path / "results", tmp_path / "page.md"
    page.write_text("before\n<!-- gating-experiment begins -->\nold\n<!-- gating-experiment ends -->\nafter\n")
    arguments = ["--out", str(out), "--seeds", "2", "--means-db", "-5", "--spreads-db", "0,6"]
    arguments += ["--transmissions", "analog,digital_uncoded,digital_hamming74", "--repeats", "1"]
    arguments += ["--set", "stage_one_epochs=1", "--set", "stage_two_epochs=1"]
    arguments += ["--document", str(page), "--pictures", str(tmp_path / "images")]
    first = command(*arguments, "--at-most", "3")
    assert first.exit_code == 0, first.output
    assert "13 pieces are left" in first.output  # of 2 seeds, 4 gates, 2 kinds of transmission
    assert "old" in page.read_text()
    kept = {path: path.stat().st_mtime_ns for path in (out / "pieces").glob("*.csv")}
    assert len(kept) == 3

    result = command(*arguments)
    assert result.exit_code == 0, result.output
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    assert {path.name for path in out.iterdir()} == {
        "pieces",
        "run.json",
        "accuracy.csv",
        "results.md",
        "gating_accuracy.png",
        "gating_gains.png",
    }
    with (out / "accuracy.csv").open() as text:
        rows = list(csv.DictReader(text))
    # naive_stage_one, naive, best_snr, random: one choice each; channel_aware: four
    assert len(rows) == 3 * 2 * 2 * (4 + 4)
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows)
    assert json.loads((out / "run.json").read_text())["config"]["gating"]["stage_one_epochs"] == 1
    text = (out / "results.md").read_text()
    assert "digital hamming74, 56 channel uses" in text
    assert text.strip() in page.read_text()
    assert page.read_text().startswith("before")
    assert page.read_text().endswith("after\n")
    for name in ("gating_accuracy.png", "gating_gains.png"):
        assert (tmp_path / "images" / name).read_bytes().startswith(b"\x89PNG")

    other = command(*arguments, "--repeats", "2")
    assert other.exit_code == 2
    assert "another configuration" in other.output


def test_verdicts_follow_the_data():
    """Gains of opposite signs give opposite verdicts, and none where seeds disagree."""
    words = []
    for gains in ((0.05, 0.06, 0.05), (-0.05, -0.06, -0.05), (0.05, -0.06, 0.0)):
        rows = []
        for seed, gain in enumerate(gains):
            for trained_with, accuracy in (("naive", 0.8), ("naive_stage_one", 0.8), ("channel_aware", 0.8 + gain)):
                rows.append(Row("analog", trained_with, "gate", 0.0, 6.0, seed, accuracy))
        text = verdicts([Accuracies(rows, 0.0)])
        words.append(re.findall(r"\*\*(.*?)\*\*", text))
    assert words == [["confirmed"] * 2, ["contradicted"] * 2, ["not confirmed"] * 2]


@pytest.fixture
def quick_sweep() -> SweepConfig:
    return SweepConfig(
        means_db=(0.0,),
        seeds=2,
        repeats=1,
        spreads_db=(6.0,),
        transmissions=("digital_uncoded",),
        gating=QUICK,
    )


@pytest.mark.slow
def test_rows_do_not_depend_on_the_number_of_processes(quick_sweep, tmp_path):
    folders = [SweepFolder(tmp_path / str(jobs), quick_sweep) for jobs in (1, 2)]
    for jobs, folder in enumerate(folders, 1):
        folder.run(jobs=jobs)
    assert folders[0].rows() == folders[1].rows()
    assert len(folders[0].rows()) == len(pieces(quick_sweep)) + 2 * (1 + 3)


def test_rows_of_one_transmission_do_not_depend_on_the_others(quick_sweep):
    alone = run_piece(quick_sweep, 1, "naive", "digital")
    more = quick_sweep.replace(transmissions=("analog", "digital_golay2312", "digital_uncoded"))
    among_others = run_piece(more, 1, "naive", "digital")
    assert [row for row in among_others if row.transmission == "digital_uncoded"] == alone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--transmissions", "smoke"], "transmissions = 'smoke': valid are analog"),
        (["--set", "expert=3"], "unexpected keyword argument 'expert'"),
        (["--set", "experts"], "valid is FIELD=VALUE"),
        (["--seeds", "1"], "SweepConfig.seeds = 1"),
        (["--spreads-db", "3,x"], "spreads_db = '3,x'"),
        (["--dataset", "cifar10"], "--data-root DIR"),
        (["--dataset", "cifar10", "--data-root", "/nowhere"], "no such folder"),
        (["--split", "train"], "SweepConfig.split = 'train'"),
    ],
)
def test_bad_arguments_end_in_one_clear_line(tmp_path, arguments, message):
    result = command("--out", str(tmp_path / "out"), *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_train_command_keeps_weights_and_says_bad_input_in_one_line(tmp_path):
    app = typer.Typer()
    app.command()(train_main)
    out = tmp_path / "model.safetensors"
    quick = ["--out", str(out), "--set", "stage_one_epochs=1", "--set", "stage_two_epochs=1", "--gate", "naive"]
    result = CliRunner().invoke(app, quick)
    assert result.exit_code == 0, result.output
    assert "validation accuracy" in result.output
    assert GatedModel.load(out).config.gate == "naive"
    assert all(list((tmp_path / f"stage_{stage}").glob("events.out.*")) for stage in (1, 2))
    for arguments, message in (
        (quick, "exists already"),
        (["--dataset", "cifar10"], "--data-root DIR"),
        (["--dataset", "cifar10", "--data-root", "/nowhere"], "no such folder"),
        (["--gate", "smart"], "GatingConfig.gate = 'smart'"),
    ):
        result = CliRunner().invoke(app, ["--out", str(tmp_path / "other"), *arguments])
        assert result.exit_code == 2
        assert message in result.output
        assert result.output.count("\n") == 1

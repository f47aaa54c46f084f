"""The experiment's command, its statistics and its files."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner

from dmoe_gym.gating.experiment import main
from dmoe_gym.gating.statistics import CHANNEL_AWARE, NAIVE, Accuracies, interval
from dmoe_gym.gating.sweep import Row, SweepConfig, run_seed, run_sweep

QUICK = {"stage_one_epochs": 1, "stage_two_epochs": 1}


def command(*arguments: str):
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def test_interval_is_students():
    values = np.array([0.91, 0.93, 0.90, 0.96])
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    result = interval(values)
    assert result.mean - result.half_width == pytest.approx(low)
    assert result.mean + result.half_width == pytest.approx(high)
    assert [interval([value, value + 0.02, value + 0.01]).sign for value in (-0.5, -0.01, 0.5)] == [-1, 0, 1]


def test_differences_are_paired_by_seed():
    rows = [Row("analog", "channel_aware", "gate", 5.0, 0.0, seed, 0.9 + 0.01 * seed) for seed in range(3)]
    rows += [Row("analog", "naive", "gate", 5.0, 0.0, seed, 0.8 + 0.01 * seed) for seed in reversed(range(3))]
    np.testing.assert_allclose(Accuracies(rows, 5.0).gain("analog", CHANNEL_AWARE, NAIVE), [[0.1, 0.1, 0.1]])


def test_command_writes_every_file_and_keeps_existing_ones(tmp_path):
    out = tmp_path / "results"
    arguments = [
        "--out",
        str(out),
        "--seeds",
        "2",
        "--means-db",
        "-5",
        "--spreads-db",
        "0,6",
        "--transmissions",
        "analog,digital_hamming74",
    ]
    arguments += ["--repeats", "1", "--set", "stage_one_epochs=1", "--set", "stage_two_epochs=1"]
    result = command(*arguments)
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == {
        "run.json",
        "accuracy.csv",
        "results.md",
        *(f"gating_{kind}_{mean}dB.png" for kind in ("accuracy", "gains") for mean in (-5,)),
    }
    with (out / "accuracy.csv").open() as text:
        rows = list(csv.DictReader(text))
    # naive_stage_one, naive, best_snr, random: one choice each; channel_aware: four
    assert len(rows) == 2 * 2 * 2 * (4 + 4)
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows)
    run = json.loads((out / "run.json").read_text())
    assert run["config"]["gating"]["stage_one_epochs"] == 1
    assert "digital_hamming74, 56 channel uses" in (out / "results.md").read_text().replace("**", "")
    assert (out / "gating_accuracy_-5dB.png").read_bytes().startswith(b"\x89PNG")

    before = (out / "accuracy.csv").read_bytes()
    again = command(*arguments)
    assert again.exit_code == 2
    assert "holds run.json, accuracy.csv" in again.output
    assert (out / "accuracy.csv").read_bytes() == before


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
def test_rows_do_not_depend_on_the_number_of_processes(quick_sweep):
    assert run_sweep(quick_sweep, jobs=2) == run_sweep(quick_sweep)


def test_rows_of_one_transmission_do_not_depend_on_the_others(quick_sweep):
    alone = run_seed(quick_sweep, seed=1)
    among_others = run_seed(quick_sweep.replace(transmissions=("analog", "digital_uncoded")), seed=1)
    assert [row for row in among_others if row.transmission == "digital_uncoded"] == alone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--transmissions", "smoke"], "transmissions = 'smoke': valid are analog"),
        (["--set", "expert=3"], "unknown field 'expert'"),
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

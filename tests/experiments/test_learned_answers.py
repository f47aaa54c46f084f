"""The table of learners where a model answers: figures that can be done by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dmoe_gym.evaluation import Interval
from dmoe_gym.io.files import csv_text
from experiments.learned_answers import PAGE, LearnedAnswers, equality
from experiments.results.store import Setting

RECIPE = {
    "algorithm": "ppo",
    "env_id": "DMoE-Inference-Residual-v0",
    "scenario": "digits",
    "overrides": {"threshold": 0.5},
    "group": "answers",
    "total_timesteps": 64,
    "seeds": [0, 1],
}


def test_energy_and_accuracy_beside_jesas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds on three episodes: always 10 % less energy; one seed 2 points more accurate, the other as accurate."""
    monkeypatch.chdir(tmp_path)
    setting = Setting.of("DMoE-Inference-Residual-v0", "digits", {"threshold": 0.5})
    for folder in ("configs", "results/analytic", "results/learned"):
        Path(folder).mkdir(parents=True)
    Path("configs/own.yaml").write_text(json.dumps(RECIPE))
    jesa = [
        {"policy": "JESA", "seed": seed, "cost": 1.0, "accuracy": accuracy, "energy_per_answer_mJ": energy}
        for seed, accuracy, energy in ((1_000_000, 0.5, 10.0), (1_000_001, 0.75, 20.0), (1_000_002, 1.0, 30.0))
    ]
    Path(f"results/analytic/{setting.file_name}.csv").write_text(csv_text(jesa))
    rows = [
        {
            "run_seed": seed,
            "seed": row["seed"],
            "cost": 1.0,
            "accuracy": row["accuracy"] + 0.02 * seed,
            "energy_per_answer_mJ": 0.9 * row["energy_per_answer_mJ"],
        }
        for seed in (0, 1)
        for row in jesa
    ]
    Path("results/learned/own.csv").write_text(csv_text(rows))
    Path("results/learned/own.json").write_text(json.dumps({"recipe": RECIPE}))
    table = LearnedAnswers().page([]).sections[PAGE, "learned-answers"]
    (line,) = [line for line in table.splitlines() if "`own`" in line]
    cells = [cell.strip().split(" [")[0] for cell in line.split("|")[1:-1]]
    assert cells[1:] == ["z = 0.5, gamma = 0.8", "18", "76.00", "+1.00", "18.00", "-10.00", "not shown"]


@pytest.mark.parametrize(("low", "said"), [(-0.99, "yes"), (-1.01, "not shown"), (0.5, "yes")])
def test_equal_means_that_the_whole_interval_is_above_the_margin(low: float, said: str) -> None:
    assert equality(Interval(1.0, low, 2.0)) == said

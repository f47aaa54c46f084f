"""Result tables: which rows there are, what they say, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from agents.__main__ import app
from agents.config import TrainingConfig
from agents.results.command import write_pages
from agents.results.lines import Comparison, compare_setting
from agents.results.pages import verdict
from agents.results.setting import Setting, settings_of
from agents.results.store import analytic_rows, collect_runs, learned_rows
from agents.results.times import keep, read_times
from agents.run_folder import RunFolder
from dmoe_gym.evaluation import Row, held_out_seeds, line_up_of
from dmoe_gym.io.files import write_csv

SETTING = Setting.of("DMoE-JESA-Sequential-v0", "small", {"num_experts": 3})
SEEDS = {"mine": (0, 1, 2, 3)}


def _rows(policy: str, costs: Any, **more: Any) -> list[Row]:
    return [{"policy": policy, "seed": 100 + e, "cost": float(cost), **more} for e, cost in enumerate(costs)]


@pytest.fixture
def analytic() -> list[Row]:
    """A bound, JESA 10 % above it, value-greedy 5 % above it, random at twice the bound; 20 episodes."""
    bound = 1 + np.arange(20) / 10
    factors = {"exact": 1.0, "JESA": 1.1, "value-greedy": 1.05, "random": 2.0}
    return [row for name, factor in factors.items() for row in _rows(name, factor * bound, relevance=0.5)]


def _learned(factor: float, seeds: int = 4) -> list[Row]:
    bound = 1 + np.arange(20) / 10
    generator = np.random.default_rng(0)
    return [
        {"run_seed": seed, **row}
        for seed in range(seeds)
        for row in _rows("mine", bound * (factor + 0.002 * generator.random(20)), relevance=0.6)
    ]


def _compare(analytic: list[Row], learned: list[Row]) -> Comparison:
    return compare_setting(SETTING, analytic, {"mine": learned}, SEEDS, {})


def test_lines_say_what_the_rows_hold(analytic: list[Row]) -> None:
    comparison = _compare(analytic, _learned(1.02))
    assert comparison.strongest.name == "value-greedy"
    assert [line.name for line in comparison.lines] == ["exact", "mine", "value-greedy", "JESA", "random"]
    mine = comparison.line("mine")
    assert (mine.seeds, mine.episodes) == (4, 20)
    jesa = comparison.line("JESA")
    assert jesa.gap is not None
    np.testing.assert_allclose(jesa.gap.mean, 10)
    assert mine.gap is not None
    assert 2 < mine.gap.mean < 2.2
    assert mine.difference is not None
    # 1.021 / 1.05 - 1 in percent, from paired differences
    assert mine.difference.low < 100 * (1.021 / 1.05 - 1) < mine.difference.high < 0
    assert mine.improvement is not None
    assert mine.improvement.mean == 1
    np.testing.assert_allclose(comparison.score(comparison.bound), 1)
    np.testing.assert_allclose(comparison.score(comparison.line("random")), 0)
    assert comparison.bound.difference is not None
    np.testing.assert_allclose(comparison.bound.difference.mean, 100 * (1 / 1.05 - 1))
    assert "`mine` is below it" in verdict(comparison)
    assert "`mine` is above it" in verdict(_compare(analytic, _learned(1.2)))
    assert "not told apart" in verdict(_compare(analytic, _learned(1.049)))


def test_a_run_that_failed_to_learn_stays(analytic: list[Row]) -> None:
    """One seed of four at a hundred times the cost: the mean shows it, the interval becomes wide."""
    rows = _learned(1.02)
    for row in rows:
        row["cost"] *= 100 if row["run_seed"] == 3 else 1
    mine = _compare(analytic, rows).line("mine")
    assert mine.cost.mean > 25
    assert mine.difference is not None
    assert mine.difference.low < 0 < mine.difference.high


def test_fewer_episodes_of_the_bound_take_none_from_the_rest(analytic: list[Row]) -> None:
    """Differences to the strongest scheduler keep all episodes, gaps those that the bound has."""
    fewer = [row for row in analytic if row["policy"] not in ("exact", "random") or row["seed"] < 105]
    whole, part = _compare(analytic, _learned(1.02)), _compare(fewer, _learned(1.02))
    assert part.line("mine").difference == whole.line("mine").difference
    assert (part.line("mine").episodes, part.bound.episodes, part.line("random").episodes) == (20, 5, 5)
    assert part.line("mine").on_bound.shape == (4, 5)
    np.testing.assert_allclose(part.line("JESA").gap.mean, 10)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="rows of exact are missing"):
        _compare([row for row in analytic if row["policy"] != "exact"], _learned(1.02))


def test_what_cannot_be_is_refused(analytic: list[Row]) -> None:
    with pytest.raises(ValueError, match="mine: 3 of 4 seeds"):
        _compare(analytic, _learned(1.02, seeds=3))
    with pytest.raises(ValueError, match="mine undercuts exact"):
        _compare(analytic, _learned(0.99))
    with pytest.raises(ValueError, match="share no held-out episode"):
        _compare(analytic, [{**row, "seed": row["seed"] + 50} for row in _learned(1.02)])


def test_settings_do_not_depend_on_the_form_of_actions() -> None:
    recipes = {
        name: TrainingConfig(
            algorithm="ppo", env_id=env_id, scenario=scenario, overrides=overrides, group="g", total_timesteps=1
        )
        for name, env_id, scenario, overrides in (
            ("pick", "DMoE-JESA-Sequential-v0", "small", {}),
            ("price", "DMoE-JESA-Price-v0", None, {}),
            ("other", "DMoE-JESA-v0", "small", {"num_experts": 3}),
            ("devices", "WDMoE-v0", "testbed", {}),
        )
    }
    found = {setting.title: names for setting, names in settings_of(recipes).items()}
    assert found["small"] == ["pick", "price"]
    assert found["testbed"] == ["devices"]
    assert found["small {num_experts: 3}"] == ["other"]
    assert found["mobile"] == []


def _run(root: Path, config: TrainingConfig, seed: int, rows: list[Row], steps: int = 1024) -> RunFolder:
    """A run folder as training leaves it."""
    import torch

    folder = RunFolder.of(root, config, "mine", seed)
    folder.prepare(config, seed, resume=False)
    write_csv(folder.evaluations_file, [{**row, "step": step} for step in (0, steps) for row in rows])
    torch.save({"num_timesteps": steps, "parameters": {}}, folder.checkpoint_file)
    return folder


def test_runs_are_collected_whole_or_named_as_missing(tiny: dict[str, Any], tmp_path: Path) -> None:
    config = TrainingConfig(**{**tiny, "seeds": [0, 1, 2]})
    runs, store = tmp_path / "runs", tmp_path / "results"
    rows = _rows("mine", [1.23456789, 2.0])
    _run(runs, config, 0, rows)
    _run(runs, config.replace(num_envs=8), 1, rows)
    unfinished = _run(runs, config, 2, rows, steps=512)
    why = collect_runs("mine", config, runs, store)
    assert why == "1 of 3 seeds; 1 run with another version of the recipe; 2 unfinished"
    assert learned_rows("mine", config, store) == []
    (unfinished.path / "checkpoint.pt").write_bytes(b"damaged")
    assert "; 2 unreadable (" in collect_runs("mine", config, runs, store)
    for seed, folder in ((1, runs / "tiny" / "mine-seed1"), (2, unfinished.path)):
        for file in folder.iterdir():
            file.unlink()
        _run(runs, config, seed, rows)
    assert collect_runs("mine", config, runs, store) == ""
    kept = learned_rows("mine", config, store)
    assert [(row["run_seed"], row["seed"], row["cost"]) for row in kept[:2]] == [(0, 100, 1.234568), (0, 101, 2.0)]
    assert {row["run_seed"] for row in kept} == {0, 1, 2}
    # of another version of the recipe they are no rows; nor of more seeds than there are
    assert learned_rows("mine", config.replace(num_envs=8), store) == []
    assert learned_rows("mine", config.replace(seeds=(0, 1, 2, 3)), store) == []
    (store / "learned" / "mine.json").write_text("{")
    with pytest.raises(ValueError, match=r"mine\.json"):
        learned_rows("mine", config, store)


def test_each_analytic_scheduler_comes_from_its_larger_source(
    analytic: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group that ran few schedulers on many episodes, a store that has many on few; nothing is computed twice."""
    group, store = tmp_path / "group", tmp_path / "results"
    asked: list[list[str]] = []

    def pretend(env_id: str, *, names: list[str], seeds: range, **_: Any) -> list[Row]:
        asked.append(names)
        return [{"policy": name, "seed": seed, "cost": 9.0} for name in names for seed in seeds]

    monkeypatch.setattr("agents.results.store.evaluate_line_up", pretend)
    write_csv(group / "references.csv", analytic)
    rows = analytic_rows(SETTING, [group], store, 3)
    line_up = SETTING.line_up
    assert asked == [[name for name in line_up.policies if name not in ("JESA", "value-greedy", "random")]]
    assert {row["policy"] for row in rows} == {*line_up.policies, "exact"}
    assert [row["cost"] for row in rows if row["policy"] == "DES"] == [9.0] * 3
    write_csv(group / "references.csv", [row for row in analytic if row["policy"] == "JESA" and row["seed"] < 105])
    assert analytic_rows(SETTING, [group], store, 3) == rows
    (group / "references.csv").unlink()
    assert analytic_rows(SETTING, [group], store, 3) == rows
    assert len(asked) == 1
    # without computing there are fewer rows, or none where the bound is lacking
    write_csv(group / "references.csv", analytic)
    kept = analytic_rows(SETTING, [group], tmp_path / "other", 3, compute=False)
    assert {row["policy"] for row in kept} == {"exact", "JESA", "value-greedy", "random"}
    write_csv(group / "references.csv", [row for row in analytic if row["policy"] != "exact"])
    assert analytic_rows(SETTING, [group], tmp_path / "third", 3, compute=False) == []
    assert len(asked) == 1
    analytic_rows(SETTING, [], store, 3, fresh=True)
    assert asked[1] == [*line_up.policies, "exact"]


def test_pages_and_pictures(analytic: list[Row], tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results begins -->\nold\n<!-- results ends -->\nafter\n")
    config = TrainingConfig(
        algorithm="ppo", env_id="DMoE-JESA-v0", scenario="small", group="g", total_timesteps=1, seeds=SEEDS["mine"]
    )
    small = Setting.of("DMoE-JESA-v0", "small", {})
    full = compare_setting(small, analytic, {"mine": _learned(1.02)}, SEEDS, {"gone": "0 of 4 seeds"})
    empty = compare_setting(Setting.of("DMoE-JESA-v0", "paper", {}), analytic, {}, {}, {})
    keep([{"setting": "small", "scheduler": "mine", "ms": 0.5}], tmp_path)
    keep([{"setting": "small", "scheduler": "mine", "ms": 0.25}, {"setting": "x", "scheduler": "y", "ms": 1}], tmp_path)
    assert read_times(tmp_path) == {"small": {"mine": 0.25}, "x": {"y": 1.0}}
    stated = {"small": {"mine": config}, "paper": {}}
    written = write_pages([full, empty], stated, tmp_path, tmp_path / "docs", readme, ["crowd"])
    text = (tmp_path / "docs" / "results.md").read_text()
    assert "Missing: `gone` (0 of 4 seeds)" in text
    assert "Missing: no recipe in `configs/` is of this scenario" in text
    assert "| *mine* | 4 |" in text
    table = readme.read_text()
    assert table.startswith("before")
    assert table.endswith("after\n")
    assert "old" not in table
    assert "| `small` | `mine` | 4 |" in table
    assert "| `paper` | missing |" in table
    assert "0.25 / –" in table
    assert "Not evaluated yet: `crowd`." in table
    assert [file.suffix for file in written] == [".png", ".png", ".md", ".md"]
    for file in written[:2]:
        assert file.read_bytes().startswith(b"\x89PNG")


def test_the_command_reads_run_folders(
    tiny: dict[str, Any], tmp_path: Path, analytic: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(yaml.safe_dump({**tiny, "overrides": {"num_experts": 3}, "seeds": [0, 1]}))
    config = TrainingConfig(**yaml.safe_load(recipe.read_text()))
    runs, store = tmp_path / "runs", tmp_path / "results"
    write_csv(runs / "tiny" / "references.csv", analytic)
    for seed in (0, 1):
        _run(runs, config, seed, [row for row in _learned(1.02) if row["run_seed"] == seed])

    def pretend(env_id: str, *, scenario: str, names: list[str], **_: Any) -> list[Row]:
        """In place of minutes of evaluation; optima lie below everything, on the same episodes."""
        bounds = line_up_of(env_id, scenario).bounds
        return [
            {"policy": name, "seed": seed, "cost": 1.0 if name in bounds else 5.0}
            for name in names
            for seed in (*range(100, 120), *held_out_seeds(4))
        ]

    monkeypatch.setattr("agents.results.store.evaluate_line_up", pretend)
    monkeypatch.setattr("agents.results.store.cached_optima", lambda *_: None)
    (tmp_path / "README.md").write_text("<!-- results begins --><!-- results ends -->")
    options = ["--runs", runs, "--store", store, "--docs", tmp_path / "docs", "--readme", tmp_path / "README.md"]
    result = CliRunner().invoke(app, ["results", str(recipe), *map(str, options)])
    assert result.exit_code == 0, result.output
    assert "`mine` is below it" in result.output
    assert json.loads((store / "learned" / "mine.json").read_text())["runs"]["1"]["seed"] == 1
    assert "`mine`: seeds 0, 1" in (tmp_path / "docs" / "results.md").read_text()


def test_times_are_measured_and_kept(tmp_path: Path) -> None:
    command = ["time", "--scenario", "small", "-p", "JESA", "--rounds", "4", "--repeats", "1", "--store", str(tmp_path)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert read_times(tmp_path)["small"]["JESA"] > 0
    refused = CliRunner().invoke(app, [*command, "-p", "nobody"])
    assert refused.exit_code == 2
    assert "valid for small are" in refused.output

"""Result tables: which rows there are, what they say, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from agents.config import TrainingConfig
from agents.run_folder import RunFolder
from dmoe_gym.evaluation import Row, by_policy
from dmoe_gym.io.files import write_csv
from experiments.__main__ import app
from experiments.page import png
from experiments.results.show import Results, curves, shown
from experiments.results.store import (
    Learned,
    References,
    Setting,
    analytic_rows,
    collect_runs,
    learned_rows,
    read_times,
    settings_of,
    validation_costs,
)
from experiments.results.tables import Comparison, Training, compare_setting, shares, verdict
from experiments.results.times import keep

SETTING = Setting.of("DMoE-JESA-Sequential-v0", "small", {"num_experts": 3})
SEEDS = {"mine": (0, 1, 2, 3)}


def _rows(policy: str, costs: Any, **more: Any) -> list[Row]:
    return [{"policy": policy, "seed": 100 + e, "cost": float(cost), **more} for e, cost in enumerate(costs)]


@pytest.fixture
def tiny() -> dict[str, Any]:
    """A recipe's fields."""
    place = {"env_id": "DMoE-JESA-Sequential-v0", "scenario": "small", "group": "tiny"}
    return {"algorithm": "maskable_ppo", **place, "num_envs": 4, "total_timesteps": 1024}


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
    return compare_setting(SETTING, by_policy(analytic), {"mine": learned}, SEEDS, {}, {})


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
    assert part.line("mine").gap != whole.line("mine").gap
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
            ("old news", "ChannelAwareGating-v0", "stale", {}),
            ("links", "DMoE-Inference-v0", "language", {}),
            ("bandwidths", "WDMoE-Inference-v0", "language", {}),
        )
    }
    found = {setting.title: names for setting, names in settings_of(recipes).items()}
    assert found["small"] == ["pick", "price"]
    assert found["testbed"] == ["devices"]
    assert found["small {num_experts: 3}"] == ["other"]
    assert found["mobile"] == []
    # two systems have a scenario of this name
    assert (found["stale"], found["stale (channel-aware gating)"]) == ([], ["old news"])
    assert (found["language"], found["language (WDMoE inference)"]) == (["links"], ["bandwidths"])


def _run(root: Path, config: TrainingConfig, seed: int, rows: list[Row], steps: int = 1024) -> RunFolder:
    """A run folder as training leaves it."""
    import torch

    folder = RunFolder.of(root, config, "mine", seed)
    folder.prepare(config, seed, resume=False)
    own = {"policy": folder.path.name, "env_id": config.env_id, "scenario": config.scenario}
    write_csv(folder.evaluations_file, [{**row, **own, "step": step} for step in (0, steps) for row in rows])
    torch.save({"num_timesteps": steps, "parameters": {}}, folder.checkpoint_file)
    return folder


def test_runs_are_collected_whole_or_named_as_missing(tiny: dict[str, Any], tmp_path: Path) -> None:
    config = TrainingConfig(**{**tiny, "seeds": [0, 1, 2]})
    runs, store = tmp_path / "runs", tmp_path / "results"
    rows = _rows("mine", [1.23456789, 2.0])

    def collect() -> str:
        found, about, why = collect_runs("mine", config, runs)
        if not why:
            write_csv(store / "learned" / "mine.csv", found)
            (store / "learned" / "mine.json").write_text(json.dumps(about))
        return why

    _run(runs, config, 0, rows)
    _run(runs, config.replace(num_envs=8), 1, rows)
    unfinished = _run(runs, config, 2, rows, steps=512)
    assert collect() == "1 of 3 seeds; 1 run with another version of the recipe; 2 unfinished"
    assert learned_rows("mine", config, store) == ([], "no runs were collected")
    (unfinished.path / "checkpoint.pt").write_bytes(b"damaged")
    assert "; 2 unreadable (" in collect()
    for seed, folder in ((1, runs / "tiny" / "mine-seed1"), (2, unfinished.path)):
        for file in folder.iterdir():
            file.unlink()
        _run(runs, config, seed, rows)
    assert collect() == ""
    kept, why = learned_rows("mine", config, store)
    assert why == ""
    assert [(row["run_seed"], row["seed"], row["cost"]) for row in kept[:2]] == [(0, 100, 1.234568), (0, 101, 2.0)]
    assert {row["run_seed"] for row in kept} == {0, 1, 2}
    # of another version of the recipe they are no rows; nor of more seeds than there are
    for change in ({"num_envs": 8}, {"seeds": (0, 1, 2, 3)}):
        found, why = learned_rows("mine", config.replace(**change), store)
        assert (found, why) == ([], "runs of another version of the recipe were collected")
    about = json.loads((store / "learned" / "mine.json").read_text())
    assert about["runs"]["1"]["curve"] == [[0, 1.617284], [1024, 1.617284]]
    (store / "learned" / "mine.json").write_text("{")
    with pytest.raises(ValueError, match=r"mine\.json"):
        learned_rows("mine", config, store)


def test_the_strongest_is_chosen_on_validation_episodes(analytic: list[Row]) -> None:
    """JESA is dearer on held-out episodes and cheaper on validation ones: it is the one that others are compared to."""
    costs = {"JESA": 1.0, "value-greedy": 1.5, "random": 9.0}
    chosen = compare_setting(SETTING, by_policy(analytic), {"mine": _learned(1.02)}, SEEDS, {}, costs)
    assert (chosen.strongest.name, chosen.validated) == ("JESA", True)
    favoured = _compare(analytic, _learned(1.02))
    assert (favoured.strongest.name, favoured.validated) == ("value-greedy", False)
    assert "chosen on held-out episodes" in verdict(favoured)
    assert "chosen on held-out episodes" not in verdict(chosen)
    # of a scheduler without a validation cost nothing is known: then none is chosen there
    assert not compare_setting(SETTING, by_policy(analytic), {}, {}, {}, {"JESA": 1.0}).validated


def test_gaps_are_read_against_the_informed_bound(analytic: list[Row]) -> None:
    stale = Setting.of("DMoE-JESA-v0", "stale", {})
    informed = _rows("informed", 1.04 * (1 + np.arange(20) / 10))
    groups = by_policy([*analytic, *informed])
    comparison = compare_setting(stale, groups, {"mine": _learned(1.06)}, SEEDS, {}, {})
    assert (comparison.bound.name, comparison.kind_of_bound) == ("informed", "informed")
    assert 1.9 < comparison.line("mine").gap.mean < 2.2  # type: ignore[union-attr]
    # it bounds means: an episode may lie below it, though none below the optimum
    cheap = compare_setting(stale, groups, {"mine": _learned(1.01)}, SEEDS, {}, {})
    assert cheap.line("mine").gap.mean < 0  # type: ignore[union-attr]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout from which commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    for page in ("README.md", "docs/results.md"):
        (tmp_path / page).write_text("before\n<!-- results begins -->\nold\n<!-- results ends -->\nafter\n")
    return tmp_path


def test_references_ask_for_what_the_store_lacks_and_for_validation_episodes(
    checkout: Path, analytic: list[Row], tiny: dict[str, Any]
) -> None:
    recipe = checkout / "mine.yaml"
    recipe.write_text(yaml.safe_dump({**tiny, "overrides": {"num_experts": 3}}))
    experiment = References(recipes=(str(recipe),), episodes=3, validation=2)
    own = [piece for piece in experiment.pieces() if piece.key["overrides"]]
    line_up = SETTING.line_up
    held_out = [piece.key["policy"] for piece in own if piece.key["first_seed"] == 1_000_000]
    assert set(held_out) == {*line_up.policies, line_up.optimum}
    assert {piece.key["policy"] for piece in own if piece.key["first_seed"] == 900_000} == set(line_up.policies)
    write_csv(Path("results/analytic") / f"{SETTING.file_name}.csv", analytic)
    pieces = experiment.pieces()
    lacking = [piece.key["policy"] for piece in pieces if piece.key["overrides"] and piece.key["episodes"] == 3]
    assert not {"JESA", "value-greedy", "random", "exact"} & set(lacking)
    values = [_rows(piece.key["policy"], [5.0] * piece.key["episodes"]) for piece in pieces]
    files = experiment.page(values).files
    for path, content in files.items():
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text(str(content))
    rows = analytic_rows(SETTING, Path("results"))
    assert set(rows) == {*line_up.policies, "exact"}
    assert len(rows["JESA"]) == 20
    assert [row["cost"] for row in rows["DES"]] == [5.0] * 3
    assert validation_costs(SETTING, Path("results")) == dict.fromkeys(line_up.policies, 5.0)
    assert not [piece for piece in experiment.pieces() if piece.key["overrides"]]  # all that was asked for is there


def test_where_a_model_answers_the_strongest_is_chosen_on_other_inputs(checkout: Path) -> None:
    recipe = checkout / "mine.yaml"
    recipe.write_text(
        "{algorithm: ppo, env_id: DMoE-Inference-Residual-v0, scenario: language, group: g, total_timesteps: 4}"
    )
    asked: dict[int, set[str]] = {}
    for piece in References(recipes=(str(recipe),)).pieces():
        if piece.key["scenario"] == "language":
            inputs = piece.key["overrides"].get("relevance", {}).get("inputs", "test")
            asked.setdefault(piece.key["first_seed"], set()).add(inputs)
    assert asked == {1_000_000: {"test"}, 900_000: {"validation"}}


def test_pages_and_pictures(analytic: list[Row], checkout: Path) -> None:
    config = TrainingConfig(
        algorithm="ppo", env_id="DMoE-JESA-v0", scenario="small", group="g", total_timesteps=4000, seeds=SEEDS["mine"]
    )
    small = Setting.of("DMoE-JESA-v0", "small", {})
    groups = by_policy(analytic)
    full = compare_setting(small, groups, {"mine": _learned(1.02)}, SEEDS, {"gone": "0 of 4 seeds"}, {})
    empty = compare_setting(Setting.of("DMoE-JESA-v0", "paper", {}), groups, {}, {}, {}, {})
    keep([{"setting": "small", "scheduler": "mine", "ms": 0.5}], Path("results"))
    other = {"setting": "x", "scheduler": "y", "ms": 1}
    keep([{"setting": "small", "scheduler": "mine", "ms": 0.25}, other], Path("results"))
    assert read_times(Path("results")) == {"small": {"mine": 0.25}, "x": {"y": 1.0}}
    run = {"git_commit": "c" * 40, "git_dirty": True, "cpu_seconds": 120, "steps": 4000}
    runs = {"mine": {str(seed): {**run, "curve": [[0, 9.0], [4000, full.learned[0].cost.mean]]} for seed in range(4)}}
    runs["mine"]["3"] = {"git_commit": "unknown"}
    training = Training.of(config, runs["mine"])
    assert training == Training("PPO", 4000, 2.0, ("an unknown commit", "ccccccc with changes"))
    page = shown([full, empty], {"mine": training}, runs, ["crowd"])
    text = page.sections["docs/results.md", "results"]
    assert "Missing: `gone` (0 of 4 seeds)" in text
    assert "| `small` | PPO | `mine` | 4 | 4,000 | 2.0 |" in text
    assert "| `paper` | none yet |" in text
    assert "| *mine* | 4 | 20 |" in text
    assert "an unknown commit, ccccccc with changes" in text
    table = page.sections["README.md", "results"]
    assert "Not evaluated yet: `crowd`." in text
    told = shares(full)
    (line,) = [line.split(" | ") for line in table.splitlines() if "`small`" in line]
    assert line[1:3] == [f"{name} {100 * share:.1f}" for name, share in (told["bound"], told["reference"])]
    assert told["reference"][1] == 1
    assert told["learned"][1] == pytest.approx(full.learned[0].cost.mean / full.line("JESA").cost.mean)
    assert "`paper`" in table
    assert "none yet" in table
    assert all(png(figure).startswith(b"\x89PNG") for figure in page.pictures.values())
    assert len(page.pictures) == 3
    # a curve over other episodes than its row's is not drawn beside lines of the row's
    runs["mine"]["0"]["curve"][-1][1] *= 1.01
    assert len(shown([full, empty], {"mine": training}, runs, ["crowd"]).pictures) == 2
    assert curves([full], {"mine": {"0": run}}) is None  # of runs that tell no curve none is drawn


def test_a_recipes_runs_come_to_the_page(tiny: dict[str, Any], checkout: Path, analytic: list[Row]) -> None:
    recipe = checkout / "mine.yaml"
    recipe.write_text(yaml.safe_dump({**tiny, "overrides": {"num_experts": 3}, "seeds": [0, 1]}))
    config = TrainingConfig(**yaml.safe_load(recipe.read_text()))
    write_csv(Path("results/analytic") / f"{SETTING.file_name}.csv", analytic)
    options = ["--set", f"recipes=[{recipe}]", "--into", "."]
    _run(checkout / "runs", config, 0, _learned(1.02)[:20])
    assert Learned(recipes=(str(recipe),)).page([]).files == {}  # one seed of two
    _run(checkout / "runs", config, 1, _learned(1.02)[20:40])
    result = CliRunner().invoke(app, ["pages", "learned", *options])
    assert result.exit_code == 0, result.output
    assert json.loads(Path("results/learned/mine.json").read_text())["runs"]["1"]["seed"] == 1
    result = CliRunner().invoke(app, ["pages", "results", *options])
    assert result.exit_code == 0, result.output
    text = Path("docs/results.md").read_text()
    assert "`mine` is below it" in text
    assert "Made by `python -m experiments pages results" in text
    assert Path("README.md").read_text().startswith("before\n")


def test_a_store_without_rows_is_said(checkout: Path) -> None:
    with pytest.raises(ValueError, match="the experiment `references`"):
        Results().page([])


def test_times_are_measured_and_kept_where_told(checkout: Path) -> None:
    command = ["time", "--scenario", "small", "-p", "JESA", "--rounds", "4", "--repeats", "1"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert not Path("results").exists()
    assert CliRunner().invoke(app, [*command, "--store", "results"]).exit_code == 0
    assert read_times(Path("results"))["small"]["JESA"] > 0
    refused = CliRunner().invoke(app, [*command, "-p", "nobody"])
    assert refused.exit_code == 2
    assert "valid for small are" in refused.output

"""Recipes that learn to choose experts, and the table that compares them to the trained gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats
from typer.testing import CliRunner

from agents.__main__ import app
from agents.config import TrainingConfig, load_config
from agents.publish import recipe_cells
from agents.train import check_recipe
from dmoe_gym.lineup import Lineup

RECIPES = sorted((Path(__file__).parents[2] / "configs").glob("gating_*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_train_on_other_images_than_they_are_judged_by(path):
    config = load_config(path)
    check_recipe(config)
    assert config.training_overrides["inputs"] == "validation"
    assert len(config.seeds) >= 5
    for part in ("test", None):
        overrides = {} if part is None else {"inputs": part}
        with pytest.raises(ValueError, match=r"training_overrides.inputs = 'test'"):
            check_recipe(config.replace(training_overrides=overrides))


def test_a_recipe_trains_and_is_published_beside_the_gate(tmp_path):
    config = load_config(RECIPES[0]).model_dump(mode="json")
    small = {**config, "num_envs": 8, "network": [8], "evaluation": {"episodes": 4, "every": 10_000}}
    small["overrides"] = {"num_inputs": 4}
    small["hyperparameters"] = {**small["hyperparameters"], "learning_starts": 8, "buffer_size": 100}
    recipe, page = tmp_path / "tiny.yaml", tmp_path / "page.md"
    recipe.write_text(yaml.safe_dump(TrainingConfig(**small).model_dump(mode="json")))
    page.write_text("<!-- agents begins -->\n<!-- agents ends -->\n")
    runs = ["--runs", str(tmp_path / "runs"), "--jobs", "1"]
    command = ["train", str(recipe), "--timesteps", "64", "--seed", "0", "--seed", "1", *runs]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    folders = [str(tmp_path / "runs" / small["group"] / f"tiny-seed{seed}") for seed in (0, 1)]
    result = CliRunner().invoke(app, ["publish", *folders, "--episodes", "4", "--document", str(page)])
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert "| tiny | 2 |" in text
    for name in ("random", "SNR-greedy", "naive-gate", "channel-aware-gate", "oracle"):
        assert f"| {name} |" in text


def test_differences_are_paired_by_episode_and_intervals_are_over_runs():
    lineup = Lineup("X-v0", {}, (), random="a", optimum="a", reference="a")
    costs = {
        "a": [1.0, 2.0, 3.0],
        "learned-seed0": [0.5, 1.5, 2.5],
        "learned-seed1": [0.7, 1.7, 2.7],
        "other": [4, 4, 4],
    }
    rows = [
        {"policy": name, "seed": seed, "cost": value}
        for name, values in costs.items()
        for seed, value in enumerate(values)
    ]
    headings, body = recipe_cells(rows, lineup)
    assert headings == ["policy", "runs", "cost", "cost minus a's, over episodes", "over runs"]
    lines = {line[0]: line for line in body}
    assert list(lines) == ["other", "a", "learned"]
    # every episode's difference of the mean run is -0.4: no spread over episodes
    assert lines["learned"][1:4] == ["2", "1.6000", "-0.4000 [-0.4000, -0.4000]"]
    low, high = stats.t.interval(0.95, 1, loc=-0.4, scale=stats.sem([-0.5, -0.3]))
    assert lines["learned"][4] == f"-0.4000 [{low:+.4f}, {high:+.4f}]"
    assert lines["a"][1:] == ["", "2.0000", "", ""]
    assert np.isclose(float(lines["other"][3].split()[0]), 2)

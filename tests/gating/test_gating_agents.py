"""Recipes that learn to choose experts, beside the trained gate."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from agents.__main__ import app
from agents.check import check_recipe
from agents.config import TrainingConfig, load_config
from dmoe_gym.evaluation import by_policy
from dmoe_gym.io.files import read_csv

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


def test_a_recipe_trains_and_is_evaluated_beside_the_gate(tmp_path):
    config = load_config(RECIPES[0]).model_dump(mode="json")
    small = {**config, "num_envs": 8, "network": [8], "evaluation": {"episodes": 4, "every": 10_000}}
    small["overrides"] = {"num_inputs": 4}
    small["hyperparameters"] = {**small["hyperparameters"], "learning_starts": 8, "buffer_size": 100}
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TrainingConfig(**small).model_dump(mode="json")))
    runs = ["--runs", str(tmp_path / "runs"), "--jobs", "1"]
    command = ["train", str(recipe), "--timesteps", "64", "--seed", "0", "--seed", "1", *runs]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    group = tmp_path / "runs" / small["group"]
    folders = [str(group / f"tiny-seed{seed}") for seed in (0, 1)]
    result = CliRunner().invoke(app, ["evaluate", *folders, "--episodes", "4", "--jobs", "1"])
    assert result.exit_code == 0, result.output
    rows = by_policy(read_csv(group / "evaluation.csv"))
    gates = {"random", "SNR-greedy", "naive-gate", "channel-aware-gate", "oracle"}
    assert rows.keys() == gates | {"tiny-seed0", "tiny-seed1"}
    assert all(len(episodes) == 4 for episodes in rows.values())

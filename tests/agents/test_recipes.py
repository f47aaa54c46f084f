"""Recipes: each is valid, or refused in one line before anything is written or much memory is taken."""

from __future__ import annotations

import copy
import random
import resource
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from agents.__main__ import app
from agents.check import check_recipe
from agents.config import TrainingConfig, load_config
from agents.train import TrainingError, train
from dmoe_gym.io.yaml_file import dump_yaml

ON_POLICY: dict[str, Any] = {
    "algorithm": "ppo",
    "env_id": "WDMoE-v0",
    "scenario": "testbed",
    "overrides": {"num_blocks": 2},
    "training_overrides": {"num_blocks": 1},
    "group": "fuzz",
    "num_envs": 4,
    "total_timesteps": 64,
    "seeds": [0, 1],
    "normalization": True,
    "policy_options": {"activation_fn": "tanh", "log_std_init": -1.0},
    "network": [8, 8],
    "hyperparameters": {
        "n_steps": 8,
        "batch_size": 16,
        "n_epochs": 1,
        "learning_rate": 1e-3,
        "gamma": 0.9,
        "ent_coef": 0.0,
    },
    "checkpoint_every": 64,
    "evaluation": {"episodes": 2, "every": 64, "untrained": False, "references": ["random"]},
}
OFF_POLICY = {
    **ON_POLICY,
    "algorithm": "sac",
    "hyperparameters": {
        "buffer_size": 100,
        "learning_starts": 8,
        "batch_size": 8,
        "ent_coef": "auto_0.1",
        "train_freq": [1, "step"],
    },
    "policy_options": {},
}
IMITATING = {
    **ON_POLICY,
    "algorithm": "maskable_ppo",
    "env_id": "DMoE-JESA-Sequential-v0",
    "scenario": "small",
    "overrides": {"num_experts": 3},
    "training_overrides": {"num_layers": 1},
    "normalization": False,
    "policy_options": {},
    "network": {"kind": "equivariant", "width": 4},
    "imitation": {"teacher": "JESA", "steps": 32, "rollout": 2, "batch_size": 16},
}
BASES = (ON_POLICY, OFF_POLICY, IMITATING)
JUNK = (
    *(None, True, -1, 0, 1, 2, 7, 10**9, 10**30, 2.5, -0.5, 1e-300, 1e300, float("inf"), float("nan"), "", "x"),
    *("auto", "auto_", "auto_-1", "1e-4", "MlpPolicy", "CnnPolicy", "sac", "dqn", "small", "../x", "x" * 5000),
    *(
        [],
        [1],
        [30000, 30000],
        [1, "step"],
        [1, "episode"],
        ["a"],
        {},
        {"a": 1},
        {"kind": "x"},
        {"kind": "equivariant"},
    ),
)
NAMES = ("n_step", "seed", "policy_kwargs", "tau", "clip_range", "history", "env", "é" * 9)


def mutated(generator: random.Random) -> dict[str, Any]:
    """A recipe with one or two of its fields, at any depth, replaced, dropped or joined by another."""
    recipe = copy.deepcopy(generator.choice(BASES))
    for _ in range(generator.randint(1, 2)):
        part: Any = recipe
        while True:
            key = generator.choice(sorted(part) if isinstance(part, dict) else range(len(part)))
            if not isinstance(part[key], dict | list) or not part[key] or generator.random() < 0.3:
                break
            part = part[key]
        kind = generator.random()
        if kind < 0.1 and isinstance(part, dict):
            del part[key]
        elif kind < 0.25 and isinstance(part, dict):
            part[generator.choice(NAMES)] = generator.choice(JUNK)
        else:
            part[key] = generator.choice(JUNK)
        if not recipe:
            break
    return recipe


def outcome_of(recipe: dict[str, Any], file: Path) -> TrainingConfig | str:
    """The recipe that a file is read as, or how it is refused."""
    file.write_text(dump_yaml(recipe))
    try:
        config = load_config(file)
        check_recipe(config)
    except ValueError as error:
        return str(error)
    return config


def judge(outcome: TrainingConfig | str, recipe: dict[str, Any]) -> None:
    if isinstance(outcome, str):
        assert "\n" not in outcome, recipe
        assert 10 < len(outcome) < 1500, recipe


def test_mutated_recipes_are_valid_or_refused_in_one_line(tmp_path: Path) -> None:
    generator = random.Random(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    valid = 0
    for _ in range(150):
        recipe = mutated(generator)
        outcome = outcome_of(recipe, tmp_path / "recipe.yaml")
        judge(outcome, recipe)
        valid += not isinstance(outcome, str)
    assert 10 < valid < 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 * 2**20  # [KiB]
    assert [file.name for file in tmp_path.iterdir()] == ["recipe.yaml"]


@pytest.mark.slow
def test_mutated_recipes_that_are_valid_train_or_fail_in_one_line(tmp_path: Path) -> None:
    generator = random.Random(1)
    for number in range(1000):
        recipe = mutated(generator)
        outcome = outcome_of(recipe, tmp_path / "recipe.yaml")
        judge(outcome, recipe)
        if isinstance(outcome, str) or outcome.num_envs > 64 or outcome.evaluation.episodes > 100:
            continue
        config, error = outcome.replace(total_timesteps=64, imitation=None), None
        try:
            train(config, f"run{number}", 0, tmp_path, [])
        except TrainingError as failure:
            error = failure
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("base", "change", "words"),
    [
        (ON_POLICY, {"hyperparameters": {"n_step": 8}}, r"hyperparameters.n_step: ppo has none such; valid are"),
        (ON_POLICY, {"hyperparameters": {"policy_kwargs": {}}}, r"hyperparameters.policy_kwargs: ppo has none such"),
        (ON_POLICY, {"hyperparameters": {"learning_rate": "fast"}}, r"learning_rate = 'fast': valid are a number, or"),
        (ON_POLICY, {"hyperparameters": {"learning_rate": "lin_-1"}}, r"rate = 'lin_-1': valid are numbers"),
        (ON_POLICY, {"hyperparameters": {"gamma": "lin_0.9"}}, r"gamma = 'lin_0.9': valid is a number"),
        (ON_POLICY, {"hyperparameters": {"gamma": 1.5}}, r"gamma = '1.5': valid are numbers from 0 to 1"),
        (ON_POLICY, {"hyperparameters": {"n_steps": 8.5}}, r"n_steps = '8.5': valid is a whole number"),
        (ON_POLICY, {"hyperparameters": {"n_epochs": True}}, r"n_epochs = .True.: valid is a whole"),
        (ON_POLICY, {"hyperparameters": {"n_steps": 10**7}}, r"num_envs and hyperparameters.n_steps: would take"),
        (OFF_POLICY, {"hyperparameters": {"ent_coef": "auto_x"}}, r"ent_coef = 'auto_x': valid is auto, auto_NUMBER"),
        (OFF_POLICY, {"hyperparameters": {"train_freq": [1, "round"]}}, r"valid is \[NUMBER, step\] or"),
        (OFF_POLICY, {"hyperparameters": {"train_freq": [1, "episode"]}}, r"valid with num_envs = 1, not 4"),
        (OFF_POLICY, {"hyperparameters": {"buffer_size": 10**7}}, r"buffer_size: would take about"),
        (ON_POLICY, {"network": [30000, 30000]}, r"network and policy_options: would take about"),
        (ON_POLICY, {"network": [10**9]}, r"network.* less than or equal to 65536"),
        (ON_POLICY, {"num_envs": 10**9}, r"num_envs = 1000000000: Input should be less than or equal to 65536"),
        (ON_POLICY, {"num_envs": "4"}, r"num_envs = '4': Input should be a valid integer"),
        (ON_POLICY, {"env_id": "Nothing-v0"}, r"Nothing"),
        (ON_POLICY, {"env_id": "CartPole-v1"}, r"CartPole-v1"),
        (ON_POLICY, {"training_overrides": {"num_tokens": 3}}, r"training_overrides: their observation_space is"),
        (ON_POLICY, {"seeds": [1, 1]}, r"seeds = \[1, 1\]: valid are different ones"),
        (ON_POLICY, {"seeds": [900_000]}, r"seeds.0 = 900000"),
        (ON_POLICY, {"policy": "CnnPolicy"}, r"hyperparameters or policy of ppo"),
        (ON_POLICY, {"policy_options": {"activation_fn": "step"}}, r"activation_fn = 'step': valid are tanh"),
        (ON_POLICY, {"policy_options": {"activation": "tanh"}}, r"hyperparameters or policy of ppo: TypeError"),
        (ON_POLICY, {"history": 4}, r"history = 4: valid is 1, observations of WDMoE-v0 are not flat"),
        (ON_POLICY, {"algorithm": "alphago"}, r"algorithm = 'alphago': valid are ppo, a2c"),
        (ON_POLICY, {"evaluation": {"references": ["nobody"]}}, r"references: 'nobody' is none; valid are random"),
        (IMITATING, {"normalization": True}, r"normalization with network = 'equivariant'"),
        (IMITATING, {"scenario": "battery"}, r"scenario = 'battery': it does not read battery"),
        (IMITATING, {"scenario": "budget"}, r"scenario = 'budget': it does not read budget_left"),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(base: dict[str, Any], change: dict[str, Any], words: str, tmp_path: Path) -> None:
    recipe = {**base, **change}
    for part in ("hyperparameters", "evaluation"):
        recipe[part] = {**base[part], **change.get(part, {})}
    if words.startswith("scenario"):
        recipe["training_overrides"] = recipe["overrides"] = {}
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe))
    result = CliRunner().invoke(app, ["train", str(file), "--runs", str(tmp_path / "runs"), "--jobs", "1"])
    assert result.exit_code == 2, result.output
    assert len(result.output.strip().splitlines()) == 1
    with pytest.raises(ValueError, match=words):
        check_recipe(load_config(file))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("file", sorted(Path("configs").glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_recipes_are_valid(file: Path) -> None:
    check_recipe(load_config(file).replace(num_envs=2))

"""Shipped weights: from a really trained tiny run, evaluated here and elsewhere; damaged ones are refused."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from typer.testing import CliRunner

from agents.__main__ import app
from agents.config import WEIGHTS, load_config
from agents.evaluate import load_learner, load_run
from agents.learners import build_env
from dmoe_gym.evaluation import evaluate, held_out_seeds
from dmoe_gym.io.files import read_csv
from tests.agents.conftest import TINY


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a tiny training run."""
    root = tmp_path_factory.mktemp("trained")
    recipe = root / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY))
    result = _command("train", recipe, "--runs", root / "runs", "--jobs", 1, "--no-progress")
    assert result.exit_code == 0, result.output
    return root / "runs" / "tiny" / "tiny-seed0"


@pytest.fixture
def weights(trained: Path, tmp_path: Path) -> Path:
    """Its exported weights."""
    result = _command("export", trained, "--to", tmp_path)
    assert result.exit_code == 0, result.output
    return tmp_path / "tiny"


def _command(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_exported_weights_act_as_the_run_does(trained: Path, weights: Path, tmp_path: Path) -> None:
    config, shipped = load_run(weights)
    own = load_run(trained)[1]
    assert config == load_config(trained / "config.yaml")
    episodes = {"scenario": config.scenario, "seeds": held_out_seeds(3), **config.overrides}
    costs = [[row["cost"] for row in evaluate(policy, config.env_id, **episodes)] for policy in (shipped, own)]
    assert costs[0] == costs[1]
    # nothing but the policy is shipped
    tensors = safetensors.torch.load_file(weights / "policy.safetensors")
    assert set(tensors) == set(load_learner(trained)[1].policy.state_dict())
    assert {file.name for file in weights.iterdir()} == {
        "policy.safetensors",
        "recipe.yaml",
        "manifest.json",
        "README.md",
    }

    rows = tmp_path / "rows.csv"
    result = _command("evaluate", weights, "--episodes", 3, "--jobs", 1, "--output", rows)
    assert result.exit_code == 0, result.output
    measured = {row["seed"]: row["cost"] for row in read_csv(rows) if row["policy"] == "tiny"}
    assert list(measured.values()) == costs[0]


def test_weights_without_sizes_act_elsewhere(weights: Path) -> None:
    config, policy = load_run(weights, "paper", {"num_layers": 1})
    env = build_env(config, seed=1, num_envs=2, training=False)
    assert env.config.num_experts == 8
    actions, _ = policy.predict(env.reset(), action_masks=env.core.masks())
    assert actions.shape == (2,)


def test_the_card_says_what_was_measured(trained: Path, weights: Path) -> None:
    manifest = json.loads((weights / "manifest.json").read_text())
    evaluations = read_csv(trained / "evaluations.csv")
    final = [row["cost"] for row in evaluations if row["step"] == evaluations[-1]["step"]]
    np.testing.assert_allclose(manifest["results"]["cost"], np.mean(final))
    exact = [row["cost"] for row in read_csv(trained.parent / "references.csv") if row["policy"] == "exact"]
    np.testing.assert_allclose(manifest["results"]["bound"]["cost"], np.mean(exact))
    text = (weights / "README.md").read_text()
    for words in (
        f"| these weights | {np.mean(final):.4f}",
        f"| exact | {np.mean(exact):.4f}",
        "imitating JESA",
        "seed 0",
    ):
        assert words in text
    assert manifest["provenance"]["command"] in text


def test_exports_are_not_overwritten_unasked(trained: Path, weights: Path) -> None:
    before = (weights / "manifest.json").stat().st_mtime_ns
    refused = _command("export", trained, "--to", weights.parent)
    assert refused.exit_code == 2
    assert "--overwrite" in refused.output
    assert (weights / "manifest.json").stat().st_mtime_ns == before
    assert _command("export", trained, "--to", weights.parent, "--overwrite").exit_code == 0


def test_unfinished_runs_are_not_shipped(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "tiny-seed0"
    shutil.copytree(trained, run)
    content = torch.load(run / "checkpoint.pt", weights_only=True)
    torch.save({**content, "num_timesteps": 512}, run / "checkpoint.pt")
    result = _command("export", run, "--to", tmp_path)
    assert result.exit_code == 2
    assert "512 of 1024 steps" in result.output


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def _repack(weights: Path, tensors: dict[str, torch.Tensor] | None, **recipe: Any) -> None:
    """Other contents under digests that fit, as of a mistaken or malicious packer."""
    import hashlib

    if tensors is not None:
        safetensors.torch.save_file(tensors, weights / "policy.safetensors")
    fields = yaml.safe_load((weights / "recipe.yaml").read_text())
    (weights / "recipe.yaml").write_text(yaml.safe_dump({**fields, **recipe}))
    manifest = json.loads((weights / "manifest.json").read_text())
    for name in manifest["sha256"]:
        manifest["sha256"][name] = hashlib.sha256((weights / name).read_bytes()).hexdigest()
    (weights / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda weights: (weights / "policy.safetensors").unlink(), "policy.safetensors is missing"),
        (lambda weights: (weights / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda weights: _flip(weights / "policy.safetensors"), "damaged"),
        (lambda weights: _flip(weights / "recipe.yaml"), "damaged"),
        (lambda weights: (weights / "manifest.json").write_text("[]"), "manifest.json: is damaged"),
        (lambda weights: _repack(weights, {"weight": torch.zeros(2)}), "in only one of them"),
        (lambda weights: _repack(weights, None, network={"kind": "equivariant", "width": 16}), "does not fit"),
    ],
)  # fmt: skip
def test_damaged_or_foreign_weights_are_refused_in_one_line(spoil: Any, words: str, weights: Path) -> None:
    spoil(weights)
    result = _command("evaluate", weights, "--episodes", 1, "--jobs", 1)
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_no_safetensors_file_is_refused(weights: Path) -> None:
    (weights / "policy.safetensors").write_bytes(b"\x80\x04no tensors")
    _repack(weights, None)
    result = _command("evaluate", weights)
    assert result.exit_code == 2
    assert "not a safetensors file" in result.output


@pytest.mark.parametrize("path", sorted(Path("agents/weights").glob("*/")), ids=lambda path: path.name)
def test_what_is_shipped_is_whole_and_fits(path: Path) -> None:
    config, policy = load_run(path)
    env = build_env(config, seed=1, num_envs=2, training=False)
    masks = {"action_masks": env.core.masks()} if env.core.masked else {}
    observation = env.reset()
    actions, _ = policy.predict(observation, **masks)  # type: ignore[arg-type]
    env.core.checked_actions(actions)


def test_loading_weights_warns_of_nothing_that_belongs_to_learning():
    for name in ("ppo_price_equivariant_small", "imitation_ppo_small"):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            load_run(WEIGHTS / name)

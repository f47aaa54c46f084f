"""A run's life: trained, resumed, evaluated; and what happens to bad input."""

from __future__ import annotations

import json
import pickle
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from agents.__main__ import app
from agents.config import TrainingConfig, dump_config, load_config
from agents.evaluate import load_run
from agents.imitation import Teacher
from agents.learners import build_env
from agents.run_folder import checkpoint_steps, read_tensors
from agents.train import reference_rows
from dmoe_gym.io.files import read_csv

RUN = "tiny/tiny-seed0"


def _command(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_train_resume_and_evaluate(tiny: dict[str, Any], tmp_path: Path) -> None:
    runs, recipe_file = tmp_path / "runs", tmp_path / "tiny.yaml"
    tiny["evaluation"]["references"] = ["random", "JESA", "exact"]  # the whole line-up has its own tests
    recipe_file.write_text(yaml.safe_dump(tiny))
    result = _command("train", str(recipe_file), "--runs", str(runs), "--jobs", "1")
    assert result.exit_code == 0, result.output
    folder = runs / RUN
    rows = read_csv(folder / "evaluations.csv")
    last = [row["cost"] for row in rows if row["step"] == rows[-1]["step"]]
    assert f"cost {np.mean(last):.4f} ({len(last)} held-out episodes; random " in result.output
    for beside in ("reference JESA", "bound exact"):
        cost = np.mean(
            [row["cost"] for row in read_csv(runs / "tiny" / "references.csv") if row["policy"] == beside.split()[1]]
        )
        assert f"{beside} {cost:.4f}" in result.output
    assert {row["step"] for row in rows} >= {0, 512, 1024}
    assert load_config(folder / "config.yaml") == load_config(recipe_file)
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["seed"] == 0
    assert provenance["packages"]["torch"] == version("torch")
    header = (folder / "progress.csv").read_text().splitlines()[0]
    assert {"imitation/loss", "imitation/accuracy", "eval/cost"} <= set(header.split(","))
    assert list((runs / "tiny" / "baseline-JESA").glob("events.out.tfevents.*"))

    # what training episodes cost, by their own terms and by their returns
    events = EventAccumulator(str(folder)).Reload()
    rounds = build_env(load_config(recipe_file), seed=0, num_envs=1).core.rounds_per_episode
    returns = {point.step: point.value for point in events.Scalars("rollout/ep_rew_mean")}
    costs = {point.step: point.value for point in events.Scalars("rollout/cost")}
    assert returns.keys() & costs.keys()
    for step in returns.keys() & costs.keys():
        assert -rounds * costs[step] == pytest.approx(returns[step], rel=1e-4)

    # a second run into the same folder is refused, and nothing changes
    before = (folder / "checkpoint.pt").read_bytes()
    again = _command("train", str(recipe_file), "--runs", str(runs))
    assert again.exit_code == 2
    assert "--resume" in again.output
    assert (folder / "checkpoint.pt").read_bytes() == before

    # resumed from the middle of the imitation it goes on to the end
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    content["num_timesteps"] = 256
    torch.save(content, folder / "checkpoint.pt")
    resumed = _command("train", str(recipe_file), "--runs", str(runs), "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["num_timesteps"] >= 1024

    evaluated = _command("evaluate", str(folder), "--episodes", "3", "--jobs", "1", "-p", "JESA", "-p", "exact")
    assert evaluated.exit_code == 0, evaluated.output
    assert {row["policy"] for row in read_csv(runs / "tiny" / "evaluation.csv")} >= {"tiny-seed0", "exact", "JESA"}

    # the same weights at another size
    config, policy = load_run(folder, overrides={"num_experts": 4, "num_subcarriers": 5, "num_layers": 1})
    env = build_env(config, seed=1, num_envs=2, training=False)
    assert env.config.num_experts == 4
    actions, _ = policy.predict(env.reset(), action_masks=env.core.masks())
    assert actions.shape == (2,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"networks": [1]}, "unexpected keyword argument 'networks'"),
        ({"network": "transformer"}, "network"),
        ({"algorithm": "ppo"}, "valid is maskable_ppo"),
        ({"imitation": {"steps": 4096}}, "at most total_timesteps"),
        ({"imitation": {"steps": 512, "teacher": "nobody"}}, "valid are exact"),
        ({"env_id": "DMoE-JESA-v0", "imitation": None}, "network = 'equivariant'"),
        ({"training_overrides": {"layers": 1}}, "layers"),
        ({"hyperparameters": {"n_step": 16}}, "n_step"),
        ({"group": "../outside"}, "group = '../outside'"),
        ({"group": None}, "group"),
    ],
)
def test_bad_recipes_exit_with_one_line(
    change: dict[str, Any], words: str, tiny: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump({**tiny, **change}))
    runs = tmp_path / "runs"
    result = _command("train", str(file), "--runs", str(runs), "--jobs", "1")
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("checkpoint.pt"))
    assert not list(tmp_path.rglob("config.yaml"))


def test_held_out_seeds_train_nothing(recipe_file: Path, tmp_path: Path) -> None:
    result = _command("train", str(recipe_file), "--seed", "1000000", "--runs", str(tmp_path / "runs"))
    assert result.exit_code == 2
    assert "seeds.0 = 1000000" in result.output
    assert not (tmp_path / "runs").exists()


def test_recipes_that_are_no_text_or_lack_fields_are_named(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    for content, words in ((b"\xa6\xff", "is no text"), (b"algorithm: ppo", "TrainingConfig.group: Field required")):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=f"bad.yaml: .*{words}"):
            load_config(file)


def test_damaged_files_are_named_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "damaged.yaml"
    file.write_text("algorithm: [")
    result = _command("train", str(file))
    assert result.exit_code == 2
    assert str(file) in result.output
    assert file.read_text() == "algorithm: ["
    missing = _command("evaluate", str(tmp_path / "nothing"))
    assert missing.exit_code == 2
    assert "nothing: is not there" in missing.output


class _InterruptedAfter(Teacher):
    """JESA's plans, until somebody presses Ctrl-C."""

    calls = 0

    def targets(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        _InterruptedAfter.calls += 1
        if _InterruptedAfter.calls == 20:
            raise KeyboardInterrupt
        return super().targets(observation)


def test_interrupted_imitation_goes_on(recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint of a half-done imitation is readable, and training ends from there."""
    monkeypatch.setattr("agents.imitation.Teacher", _InterruptedAfter)
    arguments = ("train", str(recipe_file), "--runs", str(tmp_path), "--jobs", "1", "--no-progress")
    assert _command(*arguments).exit_code == 130
    assert checkpoint_steps(tmp_path / RUN / "checkpoint.pt") == 256  # two rollouts of 8 steps in 16 environments
    resumed = _command(*arguments, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert checkpoint_steps(tmp_path / RUN / "checkpoint.pt") >= 1024


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("trap-was-run"),)


def test_a_checkpoint_with_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain, zipped = tmp_path / "plain.pt", tmp_path / "zipped.pt"
    plain.write_bytes(pickle.dumps({"num_timesteps": _Trap()}))
    torch.save({"num_timesteps": 1, "parameters": _Trap()}, zipped)
    for file in (plain, zipped):
        with pytest.raises(ValueError, match=file.name):
            read_tensors(file)
    assert not (tmp_path / "trap-was-run").exists()


def test_recipes_survive_being_written(tiny: dict[str, Any], tmp_path: Path) -> None:
    config = TrainingConfig(**tiny)
    file = tmp_path / "written.yaml"
    file.write_text(dump_config(config))
    assert load_config(file) == config


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"overrides": {"num_experts": 3, "num_subcarriers": 6, "num_layers": 2, "threshold": 0.7}}, "overrides"),
        ({"evaluation": {"episodes": 3, "every": 512}}, "episodes"),
        ({"evaluation": {"episodes": 4, "every": 512, "references": ["JESA"]}}, "policies"),
    ],
)
def test_references_of_something_else_are_refused(
    tiny: dict[str, Any], tmp_path: Path, change: dict, word: str
) -> None:
    reference_rows(TrainingConfig(**tiny), tmp_path)
    assert len(reference_rows(TrainingConfig(**tiny), tmp_path)) > 4
    before = (tmp_path / "tiny" / "references.csv").read_bytes()
    with pytest.raises(ValueError, match=rf"references\.csv: its {word} are .* choose another group"):
        reference_rows(TrainingConfig(**{**tiny, **change}), tmp_path)
    assert (tmp_path / "tiny" / "references.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("references.json", "[]", "holds list, valid is a mapping"),
        ("references.json", "[" * 100_000, "nested too deeply"),
        ("references.json", '{"episodes": 1, "episodes": 2}', "episodes stands there twice"),
        ("references.csv", lambda text: text + text, "seed = 'seed', valid are finite numbers"),
        ("references.csv", lambda text: text + text.splitlines()[1] + "\n", "twice"),
        ("references.csv", lambda text: text.replace("policy", "who"), "is no file that `evaluate` wrote"),
        ("references.csv", lambda text: "", "is not what references.json beside it is about"),
        ("references.csv", lambda text: text.splitlines()[0] + "\n", "is not what references.json beside it is about"),
        ("references.csv", lambda text: text.replace("1000000", "3"), "is not what references.json beside it is about"),
    ],
)
def test_references_that_are_damaged_are_named(
    tiny: dict[str, Any], tmp_path: Path, name: str, content: Any, words: str
) -> None:
    config = TrainingConfig(**{**tiny, "evaluation": {"episodes": 2, "references": ["JESA"]}})
    reference_rows(config, tmp_path)
    file = tmp_path / "tiny" / name
    damaged = content if isinstance(content, str) else content(file.read_text())
    file.write_text(damaged)
    with pytest.raises(ValueError, match=rf"{re.escape(name)}.*{words}"):
        reference_rows(config, tmp_path)
    assert file.read_text() == damaged

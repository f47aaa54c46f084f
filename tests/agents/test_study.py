"""Studies: what is searched, what a trial is worth, and that a study goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from filelock import FileLock
from optuna.trial import TrialState
from typer.testing import CliRunner

import agents.study
from agents.__main__ import app
from agents.config import TrainingConfig, load_config
from agents.learners import build_env, build_learner
from agents.study import CUT_OFF, Budget, Objective, Space, load_space, ranked, run_study
from dmoe_gym.evaluation.run import FIRST_HELD_OUT_SEED, FIRST_VALIDATION_SEED

ENTRIES = {
    "hyperparameters.learning_rate": {"low": 0.0001, "high": 0.01, "log": True},
    "hyperparameters.n_epochs": {"low": 1, "high": 3},
    "network.width": [8, 16, 32],
    "imitation.learning_rate": {"low": 0.001, "high": 0.1},
}


@pytest.fixture
def space(tiny: dict[str, Any]) -> Space:
    """Four fields of the tiny recipe."""
    return Space(TrainingConfig(**{**tiny, "network": {"kind": "equivariant", "width": 16}}), ENTRIES)


def _budget(trials: int) -> Budget:
    return Budget(trials=trials, minutes=5, timesteps=1024, episodes=2, seeds=1)


def _pretend(self: Objective, config: TrainingConfig, seed: int, look: Any) -> float:
    """In place of training: the best recipe has one epoch and a learning rate of 0.001."""
    assert FIRST_VALIDATION_SEED + len(self.episodes) <= seed < FIRST_HELD_OUT_SEED
    rate, epochs = config.hyperparameters["learning_rate"], config.hyperparameters["n_epochs"]
    look(512, 1.0)
    return abs(rate - 0.001) * 100 + epochs


def test_trials_stay_in_the_space(space: Space) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        config = space.suggest(study.ask())
        assert 0.0001 <= config.hyperparameters["learning_rate"] <= 0.01
        assert config.hyperparameters["n_epochs"] in (1, 2, 3)
        assert config.network.width in (8, 16, 32)  # type: ignore[union-attr]
        assert config.env_id == space.config.env_id
    assert space.own_values() == {
        "hyperparameters.n_epochs": 1,
        "network.width": 16,
        "imitation.learning_rate": 0.01,
    }


def test_parts_that_a_recipe_has_not_are_left_out(tiny: dict[str, Any]) -> None:
    flat = TrainingConfig(**{**tiny, "imitation": None, "network": [8, 8]})
    assert set(Space(flat, ENTRIES).entries) == {"hyperparameters.learning_rate", "hyperparameters.n_epochs"}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"hyperparameters.gamma": {"low": 1, "high": 0}}, "low < high"),
        ({"hyperparameters.gamma": {"low": 0, "high": 1, "log": True}}, "low > 0 with log"),
        ({"hyperparameters.gamma": {"from": 0}}, "from"),
        ({"hyperparameters.gamma": [0.9]}, "gamma"),
        ({"hyper.gamma": [0.9, 1.0]}, "no field 'hyper'"),
        ({"imitation.patience": [1, 2]}, "valid fields there are"),
        ({}, "no field"),
    ],
)
def test_bad_spaces_are_refused(entries: dict[str, Any], words: str, tiny: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(yaml.safe_dump(entries))
    with pytest.raises(ValueError, match=words) as refusal:
        load_space(TrainingConfig(**tiny), file)
    assert str(file) in str(refusal.value)


@pytest.mark.parametrize("recipe", ["imitation_ppo_small", "ppo_small", "sac_price_small", "dqn_tiny"])
def test_shipped_spaces_fit_shipped_recipes(recipe: str) -> None:
    assert len(load_space(load_config(Path("configs") / f"{recipe}.yaml")).entries) >= 4


def test_a_study_goes_on_where_it_stopped(space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Objective, "_train", _pretend)
    folder = tmp_path / "tiny"
    first = run_study(folder, space, _budget(4), command="first")
    assert len(first.trials) == 4
    assert first.trials[0].params["network.width"] == 16  # the recipe itself comes first
    first.ask()  # as if killed while it ran
    second = run_study(folder, space, _budget(8), command="second")
    assert [trial.params for trial in second.trials[:4]] == [trial.params for trial in first.trials[:4]]
    assert second.trials[4].state == TrialState.FAIL
    assert second.trials[4].user_attrs[CUT_OFF]
    assert len(second.trials) == 9  # the one that was cut off does not count
    assert [call["command"] for call in second.user_attrs["calls"]] == ["first", "second"]
    assert second.user_attrs["calls"][1]["trials"] == 8
    assert len(run_study(folder, space, _budget(8), command="third").trials) == 9

    best = min((trial for trial in second.trials if trial.value is not None), key=lambda trial: trial.value or 0)
    written = load_config(folder / "best.yaml")
    assert written.hyperparameters["learning_rate"] == best.params["hyperparameters.learning_rate"]
    assert (folder / "best.yaml").read_text().startswith(f"# Trial {best.number} of 8 of `second`")
    assert ranked(second)[0].number == best.number
    # the journal is lines of JSON
    assert all(json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines())


def test_an_interrupted_study_has_the_trials_of_an_uninterrupted_one(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in its first trial, the recipe itself, and in later ones: nothing is lost or drawn otherwise."""
    monkeypatch.setattr(Objective, "_train", _pretend)
    whole = run_study(tmp_path / "whole", space, _budget(9), command="x")
    calls = 0

    def interrupted(self: Objective, config: TrainingConfig, seed: int, look: Any) -> float:
        nonlocal calls
        calls += 1
        if calls in (1, 4, 9):
            raise KeyboardInterrupt
        return _pretend(self, config, seed, look)

    monkeypatch.setattr(Objective, "_train", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run_study(tmp_path / "parts", space, _budget(9), command="x")
    parts = run_study(tmp_path / "parts", space, _budget(9), command="x")
    kept = [trial for trial in parts.trials if CUT_OFF not in trial.user_attrs]
    assert len(parts.trials) == 12
    assert [(trial.params, trial.value) for trial in kept] == [(trial.params, trial.value) for trial in whole.trials]
    assert kept[0].params["network.width"] == 16
    first, second = ((tmp_path / name / "best.yaml").read_text().splitlines()[2:] for name in ("whole", "parts"))
    assert first == second


def test_other_studies_are_refused(
    space: Space, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Objective, "_train", _pretend)
    folder = tmp_path / "tiny"
    run_study(folder, space, _budget(1), command="first")
    with pytest.raises(ValueError, match="another recipe"):
        run_study(folder, Space(TrainingConfig(**{**tiny, "num_envs": 8}), ENTRIES), _budget(2), command="x")
    with pytest.raises(ValueError, match="another timesteps"):
        run_study(folder, space, Budget(2, 5, 99, 2, 1), command="x")
    with FileLock(folder / ".lock"), pytest.raises(ValueError, match="another process"):
        run_study(folder, space, _budget(2), command="x")
    journal = folder / "journal.jsonl"
    journal.write_text("[\n" + journal.read_text())
    with pytest.raises(ValueError, match=r"journal\.jsonl"):
        run_study(folder, space, _budget(2), command="x")


def test_a_refused_recipe_is_a_failed_trial(tiny: dict[str, Any], tmp_path: Path) -> None:
    """batch_size 1 is refused by the learner."""
    space = Space(TrainingConfig(**tiny), {"hyperparameters.clip_range": ["no", "number"]})
    study = run_study(tmp_path / "tiny", space, _budget(2), command="x")
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 2
    assert all("hyperparameters" in trial.user_attrs["error"] for trial in study.trials)
    assert not (tmp_path / "tiny" / "best.yaml").exists()


def test_time_is_up(space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Objective, "_train", _pretend)
    study = run_study(tmp_path / "tiny", space, Budget(3, 1e-9, 1024, 2, 1), command="x")
    assert all(trial.state == TrialState.PRUNED for trial in study.trials if trial.state != TrialState.WAITING)
    with pytest.raises(ValueError, match="episodes"):
        Objective(space, FIRST_HELD_OUT_SEED)


def test_held_out_episodes_have_no_part(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seeds that are evaluated on, and the cost of an untrained learner, which is that of `evaluate`."""
    seen: list[int] = []
    true = agents.study.evaluate

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.extend(options["seeds"])
        return true(*arguments, **options)

    monkeypatch.setattr(agents.study, "evaluate", watched)
    objective = Objective(space, 3)
    model = build_learner(space.config, build_env(space.config, 0), 0)
    assert 0 < objective.cost(model, space.config) < float("inf")
    assert seen == [900_000, 900_001, 900_002]


def test_the_command_trains_really(recipe_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(yaml.safe_dump({"hyperparameters.learning_rate": {"low": 0.0001, "high": 0.01, "log": True}}))
    options = ["--trials", "2", "--minutes", "5", "--episodes", "2", "--space", file, "--studies", tmp_path / "studies"]
    result = CliRunner().invoke(app, ["study", str(recipe_file), *map(str, options)])
    assert result.exit_code == 0, result.output
    assert "best: " in result.output
    tuned = load_config(tmp_path / "studies" / "tiny" / "best.yaml")
    assert tuned.replace(hyperparameters={}) == load_config(recipe_file).replace(hyperparameters={})

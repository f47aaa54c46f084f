"""What a run has on disk after an interruption and `--resume` is what an uninterrupted run has."""

from __future__ import annotations

import csv
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from agents.__main__ import app
from agents.callback import STEPS, EvaluateAndCheckpoint, ProgressFile, run_logger
from agents.config import TrainingConfig
from agents.learners import build_env, build_learner, load_replay, save_replay
from agents.run_folder import RunFolder, Status, checkpoint_steps, read_status
from agents.train import TrainingError, train
from dmoe_gym.evaluation import FIRST_HELD_OUT_SEED
from dmoe_gym.io.files import read_csv, write_csv

RECIPE: dict[str, Any] = {
    "algorithm": "ppo",
    "env_id": "WDMoE-v0",
    "scenario": "testbed",
    "group": "group",
    "num_envs": 4,
    "total_timesteps": 320,
    "network": [8],
    "hyperparameters": {"n_steps": 8, "batch_size": 16, "n_epochs": 1, "learning_rate": 0.0005},
    "checkpoint_every": 96,
    "evaluation": {"episodes": 2, "every": 64, "references": ["random"]},
}
OFF_POLICY = {"buffer_size": 400, "learning_starts": 16, "batch_size": 8}
RECIPES = {
    "ppo": RECIPE,
    "sac": {**RECIPE, "algorithm": "sac", "hyperparameters": OFF_POLICY, "normalization": True},
}


def _train(config: TrainingConfig, root: Path, *, resume: bool = False) -> RunFolder:
    return train(config, "run", 0, root, [], resume=resume)


class _Signals:
    """Sends this process a signal at some environment steps, whatever the learner is doing there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, steps: list[int], number: int, times: int = 1) -> None:
        left = list(steps)

        def on_step(callback: BaseCallback) -> bool:
            if left and callback.model.num_timesteps >= left[0]:
                left.pop(0)
                for _ in range(times):
                    os.kill(os.getpid(), number)
            return True

        monkeypatch.setattr(EvaluateAndCheckpoint, "_on_step", on_step)


def _rows(folder: RunFolder) -> list[dict[str, str]]:
    with (folder.path / "progress.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _filled(folder: RunFolder) -> list[tuple[float, frozenset[str]]]:
    """Steps of every row of logs, and which of its columns are filled; times differ from run to run."""
    return [
        (float(row[STEPS]), frozenset(key for key, cell in row.items() if cell and not key.startswith("time/")))
        for row in _rows(folder)
    ]


def _events(folder: RunFolder) -> dict[str, list[int]]:
    events = EventAccumulator(str(folder.path)).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("time/")]
    return {tag: [point.step for point in events.Scalars(tag)] for tag in tags}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("recipe", RECIPES)
def test_interrupted_runs_have_what_uninterrupted_ones_have(
    recipe: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped twice amid a rollout, and gone on with: the same steps in every log, no row lost or doubled."""
    config = TrainingConfig(**RECIPES[recipe])
    whole = _train(config, tmp_path / "whole")
    _Signals(monkeypatch, [100, 200], number)
    for expected in (range(100, 140), range(200, 240)):
        with pytest.raises(KeyboardInterrupt, match=r"steps are kept"):
            _train(config, tmp_path / "parts", resume=True)
        folder = RunFolder.of(tmp_path / "parts", config, "run", 0)
        assert checkpoint_steps(folder.checkpoint_file) in expected
        assert not folder.is_finished(config)
        status = read_status(folder.path)
        assert status is not None
        assert (status.state, status.steps) == ("interrupted", checkpoint_steps(folder.checkpoint_file))
    parts = _train(config, tmp_path / "parts", resume=True)
    assert parts.is_finished(config)
    assert [(row["step"], row["seed"]) for row in parts.evaluations(config)] == [
        (row["step"], row["seed"]) for row in whole.evaluations(config)
    ]
    if recipe == "ppo":  # SAC logs by episodes, whose ends differ as episodes are drawn anew
        assert _filled(parts) == _filled(whole)
        assert _events(parts) == _events(whole)
    kept = [torch.load(each.checkpoint_file, weights_only=True) for each in (parts, whole)]
    assert kept[0]["num_timesteps"] == kept[1]["num_timesteps"]
    assert kept[0]["counters"]["_n_updates"] == kept[1]["counters"]["_n_updates"]
    assert not parts.replay_file.exists()


def test_a_second_signal_stops_at_once_and_keeps_the_last_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainingConfig(**RECIPE)
    _Signals(monkeypatch, [100], signal.SIGINT, times=2)
    with pytest.raises(KeyboardInterrupt):
        _train(config, tmp_path)
    folder = RunFolder.of(tmp_path, config, "run", 0)
    assert checkpoint_steps(folder.checkpoint_file) == 96  # three rollouts of 8 steps in 4 environments
    assert all(float(row[STEPS]) <= 96 for row in _rows(folder))


def test_killed_runs_drop_what_they_make_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed without a word: rows of logs beyond the checkpoint, and a line that was half-written."""
    config = TrainingConfig(**RECIPE)
    whole = _train(config, tmp_path / "whole")
    folder = RunFolder.of(tmp_path / "parts", config, "run", 0)
    at_150: list[bytes] = []

    def on_step(callback: BaseCallback) -> bool:
        if callback.model.num_timesteps > 150:
            at_150.append(folder.checkpoint_file.read_bytes())
            raise KeyboardInterrupt
        return True

    with monkeypatch.context() as patch:
        patch.setattr(EvaluateAndCheckpoint, "_on_step", on_step)
        with pytest.raises(KeyboardInterrupt):
            _train(config, tmp_path / "parts")
    folder.checkpoint_file.write_bytes(at_150[0])
    assert checkpoint_steps(folder.checkpoint_file) == 96
    with (folder.path / "progress.csv").open("a") as file:
        file.write("160,0.")
    _train(config, tmp_path / "parts", resume=True)
    assert [steps for steps, _ in _filled(folder)] == [steps for steps, _ in _filled(whole)]
    assert _events(folder) == _events(whole)
    assert len(folder.evaluations(config)) == len(whole.evaluations(config))


class _Interrupted:
    """Somebody presses Ctrl-C while the policy is evaluated, from a step on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        import agents.callback

        self.at, self.evaluate = at, agents.callback.evaluate
        self.patch = monkeypatch
        self.patch.setattr("agents.callback.evaluate", self)
        self.calls = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return self.evaluate(*arguments, **options)


def test_a_run_whose_last_evaluation_was_interrupted_is_not_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainingConfig(**RECIPE)
    evaluations = _Interrupted(monkeypatch, at=6)  # of steps 0, 64, 128, 192, 256 and 320
    with pytest.raises(KeyboardInterrupt):
        _train(config, tmp_path)
    folder = RunFolder.of(tmp_path, config, "run", 0)
    assert checkpoint_steps(folder.checkpoint_file) == 320
    assert not folder.is_finished(config)
    before = folder.checkpoint_file.read_bytes()
    _train(config, tmp_path, resume=True)
    assert evaluations.calls == 7
    assert folder.is_finished(config)
    assert {row["step"] for row in folder.evaluations(config)} == {0, 64, 128, 192, 256, 320}
    parameters = [torch.load(folder.checkpoint_file, weights_only=True)["parameters"]["policy"]]
    folder.checkpoint_file.write_bytes(before)
    parameters.append(torch.load(folder.checkpoint_file, weights_only=True)["parameters"]["policy"])
    for name, tensor in parameters[0].items():
        assert torch.equal(tensor, parameters[1][name])


def test_interrupted_right_after_resume_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainingConfig(**RECIPE)
    _Signals(monkeypatch, [200], signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        _train(config, tmp_path)
    folder = RunFolder.of(tmp_path, config, "run", 0)
    before = {name: (folder.path / name).read_bytes() for name in ("evaluations.csv", "progress.csv")}
    steps = checkpoint_steps(folder.checkpoint_file)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("agents.train.learn", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _train(config, tmp_path, resume=True)
    assert checkpoint_steps(folder.checkpoint_file) == steps
    assert {name: (folder.path / name).read_bytes() for name in before} == before
    assert _train(config, tmp_path, resume=True).is_finished(config)


def test_a_replay_buffer_is_gone_on_with(tmp_path: Path) -> None:
    config = TrainingConfig(**RECIPES["sac"])
    env = build_env(config, seed=0)
    model = build_learner(config, env, seed=0).learn(60)
    save_replay(model, tmp_path / "replay.safetensors", 60)
    other = build_learner(config, env, seed=1)
    assert not load_replay(other, tmp_path / "replay.safetensors", 56)  # of another checkpoint
    assert load_replay(other, tmp_path / "replay.safetensors", 60)
    assert other.replay_buffer.size() == model.replay_buffer.size() == 15
    for key, values in model.replay_buffer.observations.items():
        np.testing.assert_array_equal(other.replay_buffer.observations[key][:15], values[:15])
    np.testing.assert_array_equal(other.replay_buffer.rewards[:15], model.replay_buffer.rewards[:15])
    smaller = config.replace(hyperparameters={**OFF_POLICY, "buffer_size": 40})
    assert not load_replay(build_learner(smaller, env, 0), tmp_path / "replay.safetensors", 60)


def test_a_failed_run_makes_room_for_its_corrected_self(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its first checkpoint nothing is kept of it; after one it is moved aside."""
    config = TrainingConfig(**RECIPE)
    folder = RunFolder.of(tmp_path, config, "run", 0)
    for steps, aside in ((40, 0), (200, 1)):

        def on_step(callback: BaseCallback, steps: int = steps) -> bool:
            if callback.model.num_timesteps >= steps:
                raise RuntimeError("two\nlines")
            return True

        with monkeypatch.context() as patch:
            patch.setattr(EvaluateAndCheckpoint, "_on_step", on_step)
            with pytest.raises(TrainingError, match=r"run-seed0: RuntimeError: two lines \(see traceback.txt there\)"):
                _train(config.replace(num_envs=8), tmp_path)
        assert "on_step" in (folder.path / "traceback.txt").read_text()
        _train(config, tmp_path)
        assert folder.is_finished(config)
        assert len(list(folder.path.parent.glob(".run-seed0.failed-*"))) == aside
        with pytest.raises(ValueError, match="holds a run already"):
            _train(config, tmp_path)
        for file in folder.path.iterdir():
            file.unlink()


def test_training_draws_no_held_out_and_no_repeated_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generators of all parts of a run, the seed as high as recipes may have it."""
    from dmoe_gym.core import BatchedCore

    drawn: list[tuple[int, int]] = []
    seed = BatchedCore.seed

    def note(core: BatchedCore, rows: Any, seeds: Any) -> None:
        drawn.extend(tuple(pair) for pair in seeds)
        seed(core, rows, seeds)

    row = {"policy": "run-seed899999", "env_id": RECIPE["env_id"], "scenario": "testbed", "seed": 1, "cost": 1.0}
    monkeypatch.setattr("agents.callback.evaluate", lambda *_, **__: [row])
    monkeypatch.setattr(BatchedCore, "seed", note)
    config = TrainingConfig(**{**RECIPE, "seeds": [899_999]})
    _Signals(monkeypatch, [100, 200], signal.SIGINT)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(config, "run", 899_999, tmp_path, [], resume=True)
    train(config, "run", 899_999, tmp_path, [], resume=True)
    assert len(set(drawn)) == len(drawn) == 3 * config.num_envs
    assert {first for first, _ in drawn} == {899_999}
    assert all(first < FIRST_HELD_OUT_SEED for first, _ in drawn)


def test_progress_rows_are_whole_under_new_columns(tmp_path: Path) -> None:
    file = ProgressFile(tmp_path / "progress.csv", 0)
    file.write({"a": 1.5}, {"a": ()}, 10)
    file.write({"a": 2.5, "b": "two, lines"}, {"a": (), "b": ()}, 20)
    file.write({"b": 3, "c": 4}, {"b": (), "c": ("csv",)}, 30)
    expected = [{STEPS: 10, "a": 1.5}, {STEPS: 20, "a": 2.5, "b": "two, lines"}, {STEPS: 30, "b": 3}]
    assert read_csv(tmp_path / "progress.csv") == expected
    ProgressFile(tmp_path / "progress.csv", 20).write({"c": 4}, {"c": ()}, 25)
    assert read_csv(tmp_path / "progress.csv") == [*expected[:2], {STEPS: 25, "c": 4}]
    ProgressFile(tmp_path / "progress.csv", 0)
    assert not (tmp_path / "progress.csv").exists()


def test_the_command_names_what_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    recipe = tmp_path / "run.yaml"
    recipe.write_text(yaml.safe_dump(RECIPE))
    _Signals(monkeypatch, [100], signal.SIGINT)
    arguments = ["train", str(recipe), "--runs", str(tmp_path / "runs"), "--jobs", "1", "--no-progress"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 130
    assert "--resume" in result.output
    status = read_status(tmp_path / "runs" / "group" / "run-seed0")
    assert isinstance(status, Status)


def test_a_full_disk_is_not_told_by_tensorboards_thread_too(tmp_path, capsys):
    """What writes to it raises the same. The thread is TensorBoard's own, and its file one that cannot be written."""
    logger = run_logger(tmp_path, 0)
    written = logger.output_formats[1].writer.file_writer.event_writer._async_writer._writer._writer
    written.write = written.flush = _full

    def log():
        for step in range(100):  # the thread has failed at one of them
            logger.record("a", 1.0)
            logger.dump(step)
            logger.output_formats[1].writer.flush()

    with pytest.raises(OSError, match="No space left"):
        log()
    with suppress(OSError):
        logger.close()
    assert "Traceback" not in capsys.readouterr().err


def _full(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("else")])
def test_threads_of_others_are_heard(error, tmp_path, monkeypatch):
    """While a run is logged and after it."""
    heard = []
    monkeypatch.setattr(threading, "excepthook", lambda failed: heard.append(failed.exc_value))

    def fail():
        raise error

    def failing_thread():
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()

    before = threading.excepthook
    logger = run_logger(tmp_path, 0)
    failing_thread()
    logger.close()
    assert threading.excepthook is before
    failing_thread()
    assert heard == [error, error]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "", "holds no rows"),
        (lambda text: text.splitlines()[0] + "\n", "holds no rows"),
        (
            lambda text: text.replace("run-seed0,", "run-seed1,"),
            "policy = 'run-seed1', valid is this run's 'run-seed0'",
        ),
        (lambda text: text.replace(",WDMoE-v0,", ",WDMoE-Joint-v0,"), "env_id = 'WDMoE-Joint-v0'.*'WDMoE-v0'"),
        (lambda text: text.replace(",testbed,", ",crowd,"), "scenario = 'crowd', valid is this run's 'testbed'"),
        (lambda text: text.replace(",step\n", ",when\n"), "step = None, valid are whole numbers"),
    ],
)
def test_evaluations_of_another_run_are_not_gone_on_with(change: Any, words: str, tmp_path: Path) -> None:
    config = TrainingConfig(**RECIPE)
    folder = RunFolder.of(tmp_path, config, "run", 0)
    folder.path.mkdir(parents=True)
    row = {
        "env_id": "WDMoE-v0",
        "scenario": "testbed",
        "configuration": "c0",
        "seed": 1_000_000,
        "cost": 1.5,
        "step": 0,
    }
    write_csv(folder.evaluations_file, [{"policy": "run-seed0", **row}])
    assert folder.evaluations(config)[0]["cost"] == 1.5
    text = folder.evaluations_file.read_text()
    folder.evaluations_file.write_text(change(text))
    with pytest.raises(ValueError, match=rf"evaluations\.csv: {words}"):
        folder.evaluations(config)


def test_a_folder_is_no_file_of_evaluations(tmp_path: Path) -> None:
    config = TrainingConfig(**RECIPE)
    folder = RunFolder.of(tmp_path, config, "run", 0)
    folder.evaluations_file.mkdir(parents=True)
    with pytest.raises(ValueError, match=r"evaluations\.csv.* is no file but a folder"):
        folder.evaluations(config)

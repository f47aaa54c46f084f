"""Training one seed of a recipe, from a fresh folder or from its checkpoint."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv

from agents.callback import BetweenUpdates, EvaluateAndCheckpoint, Interrupts, handled, run_logger
from agents.config import TrainingConfig
from agents.imitation import imitate
from agents.learners import batch_of, build_env, build_learner, load_replay
from agents.run_folder import TRACEBACK, Pending, RunFolder, StatusKeeper, load_checkpoint
from dmoe_gym.evaluation import Row, evaluate_line_up, held_out_seeds, line_up_of, read_rows
from dmoe_gym.evaluation.run import Progress
from dmoe_gym.evaluation.tensorboard import landmarks, write_lines
from dmoe_gym.io.files import csv_text, read_bytes, read_json, write_json, write_whole
from dmoe_gym.system import LineUp

REFERENCES, ABOUT = "references.csv", "references.json"


def reference_rows(
    config: TrainingConfig,
    root: Path,
    *,
    jobs: int = 1,
    progress: Callable[[str], Progress] | None = None,
) -> list[Row]:
    """Rows of the line-up on the recipe's held-out episodes, kept in the group's `references.csv`.

    `references.json` beside it says what they are of. Also writes each as a flat TensorBoard line beside the runs.

    Raises:
        ValueError: if the file is of anything else than the recipe asks for: runs of one group share all of it.
    """
    folder = root / config.group
    line_up = line_up_of(config.env_id, config.scenario, **config.overrides)
    asked = _asked(config, line_up)
    rows = _kept(folder, asked)
    if rows is None:
        rows = evaluate_line_up(
            config.env_id,
            scenario=config.scenario,
            seeds=held_out_seeds(config.evaluation.episodes),
            names=config.evaluation.references,
            jobs=jobs,
            progress=progress,
            **config.overrides,
        )
        table = csv_text(rows)
        write_json(folder / ABOUT, {**asked, "sha256": sha256(table.encode()).hexdigest()})
        write_whole(folder / REFERENCES, table)
    write_lines(folder, rows, line_up, landmarks(rows, line_up), config.total_timesteps)
    return rows


def kept_references(config: TrainingConfig, folder: Path) -> list[Row] | None:
    """Rows of the line-up that a group's folder keeps; None if it keeps none.

    Raises:
        ValueError: if they are of anything else than the recipe asks for, or not the ones that were written.
    """
    return _kept(folder, _asked(config, line_up_of(config.env_id, config.scenario, **config.overrides)))


def _kept(folder: Path, asked: Mapping[str, Any]) -> list[Row] | None:
    file, about = folder / REFERENCES, folder / ABOUT
    if not file.exists():
        return None
    kept = read_json(read_bytes(about, "file"), str(about)) if about.exists() else {}
    differing = [field for field, value in asked.items() if field not in kept or kept[field] != value]
    if differing:
        field = differing[0]
        raise ValueError(
            f"{file}: its {field} are {kept.get(field, 'unknown')!r}, the recipe's {asked[field]!r}; "
            "choose another group in the recipe"
        )
    rows = read_rows(file)
    if sha256(read_bytes(file, "file")).hexdigest() != kept.get("sha256"):
        raise ValueError(f"{file}: is not what {ABOUT} beside it is about; without the two they are made again")
    return rows


def _asked(config: TrainingConfig, line_up: LineUp) -> dict[str, Any]:
    """What a recipe's references are of, as a file holds it: lists for tuples."""
    about = {
        "environment": line_up.env_id,
        "scenario": config.scenario,
        "overrides": dict(config.overrides),
        "episodes": config.evaluation.episodes,
        "policies": config.evaluation.references,
    }
    return json.loads(json.dumps(about, default=str))


def train(
    config: TrainingConfig,
    name: str,
    seed: int,
    root: Path,
    references: Sequence[Row],
    *,
    resume: bool = False,
    progress: Callable[[int], None] = lambda steps: None,
    going_on: str = "--resume continues",
) -> RunFolder:
    """Train one seed; returns its folder.

    Args:
        config, name: the recipe and what it is called.
        root: of the run folders.
        references: rows of the line-up on the recipe's held-out episodes.
        resume: go on from a checkpoint, if there is one.
        progress: told of the environment steps behind the run.
        going_on: what continues an interrupted run, for the message that says so.

    Ctrl-C and SIGTERM leave a checkpoint of the last whole update, from which `resume` goes on: on the same grid of
    steps, with optimizers, running statistics, logs and replay buffer (`agents.learners`), in new episodes.

    Raises:
        ValueError: if the folder holds a run already and `resume` is False, what it holds does not fit, or another
            process is training it.
        TrainingError: if it fails while it learns.
        KeyboardInterrupt: when it was interrupted, with what continues it.
    """
    torch.set_num_threads(1)  # small networks: a second thread costs more than it brings
    folder = RunFolder.of(root, config, name, seed)
    with folder.locked():
        folder.prepare(config, seed, resume=resume)
        if not folder.is_finished(config):
            _train(config, name, seed, folder, references, progress, going_on)
    return folder


class TrainingError(ValueError):
    """A learner failed while it learned: the run, the error in one line, and where its traceback is."""


def learn(
    model: BaseAlgorithm,
    config: TrainingConfig,
    env: VecEnv,
    callback: BetweenUpdates,
    *,
    seed: int,
) -> None:
    """Imitation and reinforcement learning from wherever the learner stands to the recipe's last step."""
    done = model.num_timesteps
    if config.imitation is not None and done < config.imitation.steps:
        assert isinstance(model, OnPolicyAlgorithm)  # the recipe's check has seen to it
        imitate(model, config.imitation, batch_of(env), callback, seed=seed + done)
    remaining = config.total_timesteps - model.num_timesteps
    if remaining > 0:
        model.learn(remaining, callback=callback, reset_num_timesteps=model.num_timesteps == 0)
    else:
        callback.init_callback(model)
        callback.on_training_end()


def _train(
    config: TrainingConfig,
    name: str,
    seed: int,
    folder: RunFolder,
    references: Sequence[Row],
    progress: Callable[[int], None],
    going_on: str,
) -> None:
    """Train a prepared run from its checkpoint, if it has one, to its end."""
    interrupts = Interrupts()
    with handled(interrupts.handle):
        env = build_env(config, seed)
        model = build_learner(config, env, seed)
        done, pending = _restore(model, env, folder, seed) if folder.checkpoint_file.exists() else (0, {})
        line_up = line_up_of(config.env_id, config.scenario, **config.overrides)
        status = StatusKeeper(folder.path, config.total_timesteps)
        callback = EvaluateAndCheckpoint(
            config, folder, f"{name}-seed{seed}", references, line_up, status, interrupts, done, progress
        )
        logger = run_logger(folder.path, done)
        for figure, (value, left_out) in pending.items():
            logger.record(figure, value, left_out)
        model.set_logger(logger)
        status.update(done)
        try:
            learn(model, config, env, callback, seed=seed)
        except KeyboardInterrupt:
            callback.checkpoint()
            status.update(callback.whole_steps, "interrupted")
            raise KeyboardInterrupt(f"{folder.path}: {callback.whole_steps:,} steps are kept, {going_on}") from None
        except Exception as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            write_whole(folder.path / TRACEBACK, traceback.format_exc())
            status.update(model.num_timesteps, "failed", said)
            raise TrainingError(f"{folder.path}: {said} (see {TRACEBACK} there)") from error
        finally:
            logger.close()
        folder.replay_file.unlink(missing_ok=True)
        status.update(model.num_timesteps, "finished")


def _restore(model: BaseAlgorithm, env: VecEnv, folder: RunFolder, seed: int) -> tuple[int, Pending]:
    """Go on from a run's checkpoint; returns the environment steps behind it, and what is to be logged next.

    Environment i draws its episodes from (seed, done + i) from here on: `seed` is the recipe's, so no resumed run comes
    near validation or held-out episodes, and `done` counts whole steps of all environments, so none repeats an earlier
    part's.
    """
    pending = load_checkpoint(model, folder.checkpoint_file)
    done = model.num_timesteps
    load_replay(model, folder.replay_file, done)
    set_random_seed(int(np.random.SeedSequence([seed, done]).generate_state(1)[0]))
    batch = batch_of(env)
    batch._reset_seeds()  # what the learner has set for the next reset
    batch.core.seed(batch.core.all_rows, [(seed, done + row) for row in range(batch.core.num_envs)])
    return done, pending

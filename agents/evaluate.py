"""Trained runs beside the line-up of their environment."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from agents.config import ALGORITHMS, TrainingConfig, load_config
from agents.export import is_export, load_tensors, read_export
from agents.learners import LearnedPolicy, as_policy, build_env, build_learner
from agents.run_folder import RunFolder, load_checkpoint
from dmoe_gym.evaluation import Row, evaluate, evaluate_line_up, held_out_seeds, line_up_of
from dmoe_gym.evaluation.run import Progress
from dmoe_gym.system import NOTHING, LineUp


def load_run(
    path: Path, scenario: str | None = None, overrides: Mapping[str, Any] | None = None
) -> tuple[TrainingConfig, LearnedPolicy]:
    """The recipe and the newest policy of a run folder, or of shipped weights.

    Args:
        path: the folder.
        scenario, overrides: where the policy is to act, instead of where it was trained: other sizes are for networks
            whose weights fit them. The recipe that is returned names them.

    Raises:
        ValueError: if the folder holds no whole run, naming what is missing or damaged, or does not fit there.
    """
    config, model = load_learner(path, scenario, overrides)
    return config, as_policy(model)


def load_learner(
    path: Path, scenario: str | None = None, overrides: Mapping[str, Any] | None = None
) -> tuple[TrainingConfig, BaseAlgorithm]:
    """The recipe and the learner itself; as `load_run`."""
    if is_export(path):
        config, tensors = read_export(path)
        config, model = _build(config, scenario, overrides)
        load_tensors(model, tensors, path)
        return config, model
    folder = RunFolder(path)
    for file in (folder.config_file, folder.checkpoint_file):
        if not file.is_file():
            raise ValueError(f"{path}: is no run folder, {file.name} is missing")
    config, model = _build(load_config(folder.config_file), scenario, overrides)
    load_checkpoint(model, folder.checkpoint_file)
    return config, model


def _build(
    config: TrainingConfig, scenario: str | None, overrides: Mapping[str, Any] | None
) -> tuple[TrainingConfig, BaseAlgorithm]:
    """The recipe of where a policy acts, and an untrained learner for it."""
    if scenario is not None or overrides is not None:
        config = config.replace(scenario=scenario or config.scenario, overrides=dict(overrides or {}))
    # a replay buffer of the recipe's size would be filled by nobody
    small = {"buffer_size": 1} if issubclass(ALGORITHMS[config.algorithm], OffPolicyAlgorithm) else {}
    light = config.replace(hyperparameters={**config.hyperparameters, **small})
    env = build_env(config, seed=0, num_envs=1, training=False)
    with warnings.catch_warnings():
        # what it is about is learned in: batches of one environment
        warnings.filterwarnings("ignore", "You have specified a mini-batch size")
        return config, build_learner(light, env, seed=0)


def evaluate_runs(
    paths: Sequence[Path],
    episodes: int,
    *,
    scenario: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    names: Sequence[str] | None = None,
    own: Mapping[str, Any] = NOTHING,
    jobs: int = 1,
    progress: Callable[[str], Progress] | None = None,
) -> tuple[list[Row], LineUp]:
    """Rows of the analytic policies, the bounds and the runs on the same held-out episodes.

    Args:
        paths: run folders whose environments share their episodes.
        scenario, overrides: where the runs are evaluated, if not where they were trained (see `load_run`).
        names: which analytic policies and bounds; None for all.
        own: policies and schedulers that act where the first run does, as `extra` of `evaluate_line_up`.
        jobs: processes for the bounds.
        progress: called with a name before it runs; what it returns is told of finished episodes.

    Raises:
        ValueError: if a folder holds no whole run, or the runs are of different scenarios.
    """
    loaded = [(path, *load_run(path, scenario, overrides)) for path in paths]
    first = loaded[0][1]
    line_up = line_up_of(first.env_id, first.scenario, **first.overrides)
    for path, config, _ in loaded:
        theirs = line_up_of(config.env_id, config.scenario, **config.overrides).env_id
        if (theirs, config.scenario, config.overrides) != (line_up.env_id, first.scenario, first.overrides):
            raise ValueError(f"{path}: ran on other episodes than {paths[0]}; evaluate them one by one")
    seeds = held_out_seeds(episodes)
    rows = evaluate_line_up(
        first.env_id,
        scenario=first.scenario,
        seeds=seeds,
        names=names,
        extra=own,
        jobs=jobs,
        progress=progress,
        **first.overrides,
    )
    for path, config, policy in loaded:
        tick = progress(path.name) if progress else None
        rows += evaluate(
            policy,
            config.env_id,
            scenario=config.scenario,
            seeds=seeds,
            name=path.name,
            progress=tick,
            **config.overrides,
        )
    return rows, line_up

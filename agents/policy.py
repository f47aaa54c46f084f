"""A learned model as a policy that `evaluate` runs beside the analytic ones."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from agents.checkpoint import load_checkpoint
from agents.config import TrainingConfig, load_config
from agents.export import is_export, load_tensors, read_export
from agents.learners import batch_of, build_env, build_learner
from agents.registry import ALGORITHMS
from agents.run_folder import RunFolder

Observation = Mapping[str, np.ndarray] | np.ndarray


class LearnedPolicy:
    """Deterministic actions of a Stable-Baselines3 model without masks.

    It sees observations as the environment gives them: stacking and normalization of the recipe happen here, with the
    statistics of training as they stand. Its state is what the stack holds and, for recurrent models, the LSTM's.

    Args:
        model: with its environment, which says how observations are prepared.
    """

    def __init__(self, model: BaseAlgorithm) -> None:
        self.model = model
        self.normalizer = model.get_vec_normalize_env()
        env, seen = model.get_env(), model.observation_space
        single = batch_of(env).view.observation_space if env is not None else seen
        self.history = spaces.flatdim(seen) // spaces.flatdim(single)

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """The model's action(s), and what it wants to be handed back with the next observation."""
        past, memory = (None, None) if state is None else state
        prepared, past = self._prepared(observation, past, episode_start)
        actions, memory = self.model.predict(prepared, memory, episode_start, deterministic)
        return actions, (past, memory)

    def _prepared(
        self, observation: Observation, past: np.ndarray | None, episode_start: np.ndarray | None
    ) -> tuple[Any, np.ndarray | None]:
        """What the model reads, and the stack."""
        seen: Any = dict(observation) if isinstance(observation, Mapping) else np.asarray(observation)
        if self.history > 1:
            older = np.zeros((*seen.shape[:-1], seen.shape[-1] * self.history), seen.dtype) if past is None else past
            if episode_start is not None:
                older = np.where(np.asarray(episode_start)[..., None], 0, older)
            seen = past = np.concatenate([older[..., seen.shape[-1] :], seen], axis=-1)
        if self.normalizer is not None:
            seen = self.normalizer.normalize_obs(seen)
        return seen, past


class MaskedLearnedPolicy(LearnedPolicy):
    """Deterministic actions of a MaskablePPO model among the feasible ones."""

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Any]:
        """The model's action(s) under the masks."""
        prepared, past = self._prepared(observation, None if state is None else state[0], episode_start)
        actions, _ = self.model.predict(prepared, None, episode_start, deterministic, action_masks=action_masks)  # type: ignore[call-arg]
        return actions, (past, None)


def as_policy(model: BaseAlgorithm) -> LearnedPolicy:
    """The model behind the suite's policy protocol."""
    return MaskedLearnedPolicy(model) if isinstance(model, MaskablePPO) else LearnedPolicy(model)


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

"""A learned model as a policy that `evaluate` runs beside the analytic ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sb3_contrib import MaskablePPO
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.config import TrainingConfig, load_config
from agents.learners import build_env, build_learner, load_checkpoint
from agents.run_folder import RunFolder


class LearnedPolicy:
    """Deterministic actions of a Stable-Baselines3 model without masks."""

    def __init__(self, model: BaseAlgorithm) -> None:
        self.model = model

    def predict(
        self,
        observation: Mapping[str, np.ndarray],
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """The model's action(s)."""
        return self.model.predict(dict(observation), state, episode_start, deterministic)


class MaskedLearnedPolicy(LearnedPolicy):
    """Deterministic actions of a MaskablePPO model among the feasible ones."""

    def predict(
        self,
        observation: Mapping[str, np.ndarray],
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Any]:
        """The model's action(s) under the masks."""
        return self.model.predict(dict(observation), state, episode_start, deterministic, action_masks=action_masks)  # type: ignore[call-arg]


def as_policy(model: BaseAlgorithm) -> LearnedPolicy:
    """The model behind the suite's policy protocol."""
    return MaskedLearnedPolicy(model) if isinstance(model, MaskablePPO) else LearnedPolicy(model)


def load_run(
    path: Path, scenario: str | None = None, overrides: Mapping[str, Any] | None = None
) -> tuple[TrainingConfig, LearnedPolicy]:
    """The recipe and the newest policy of a run folder.

    Args:
        path: the folder.
        scenario, overrides: where the policy is to act, instead of where it was trained: other sizes are for networks
            whose weights fit them. The recipe that is returned names them.

    Raises:
        ValueError: if the folder holds no whole run, naming what is missing or damaged, or does not fit there.
    """
    folder = RunFolder(path)
    for file in (folder.config_file, folder.checkpoint_file):
        if not file.is_file():
            raise ValueError(f"{path}: is no run folder, {file.name} is missing")
    config = load_config(folder.config_file)
    if scenario is not None or overrides is not None:
        config = config.replace(scenario=scenario or config.scenario, overrides=dict(overrides or {}))
    model = build_learner(config, build_env(config, seed=0, num_envs=1, training=False), seed=0)
    load_checkpoint(model, folder.checkpoint_file)
    return config, as_policy(model)

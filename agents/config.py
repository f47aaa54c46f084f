"""What a training run is: one YAML file in configs/."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator

from dmoe_gym.config import StrictConfig
from dmoe_gym.evaluation import FIRST_HELD_OUT_SEED

Count = Annotated[int, Field(ge=1)]


class EvaluationConfig(StrictConfig):
    """Evaluation on frozen held-out episodes.

    Fields:
        episodes: how many, the same for every run and baseline of a group.
        every: time steps between evaluations during training.
    """

    episodes: Count = 100
    every: Count = 50_000


class TrainingConfig(StrictConfig):
    """One recipe.

    Fields:
        algorithm: which learner.
        env_id, scenario, overrides: as in `gym.make`.
        group: folder that runs on the same environment share, so that TensorBoard overlays them.
        num_envs: environments in the batch.
        total_timesteps: environment steps, all environments together.
        seeds: one run each; below the held-out seeds.
        policy: Stable-Baselines3's policy name.
        network: widths of the hidden layers.
        hyperparameters: keyword arguments of the algorithm.
        checkpoint_every: time steps between checkpoints.
        evaluation: see there.
    """

    algorithm: Literal["ppo", "maskable_ppo", "sac", "dqn"]
    env_id: str
    scenario: str | None = None
    overrides: dict[str, Any] = Field(default_factory=dict)
    group: str
    num_envs: Count = 16
    total_timesteps: Count
    seeds: tuple[Annotated[int, Field(ge=0, lt=FIRST_HELD_OUT_SEED)], ...] = (0,)
    policy: str = "MultiInputPolicy"
    network: tuple[Count, ...] = (256, 256)
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    checkpoint_every: Count = 200_000
    evaluation: EvaluationConfig = EvaluationConfig()

    @field_validator("seeds", "network", mode="before")
    @classmethod
    def _list_as_tuple(cls, value: Any) -> Any:
        """YAML has no tuples."""
        return tuple(value) if isinstance(value, list) else value


def load_config(path: Path) -> TrainingConfig:
    """The recipe in a YAML file.

    Raises:
        ValueError: naming the file and what is wrong with it.
        OSError: if it cannot be read.
    """
    try:
        fields = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: is no YAML ({' '.join(str(error).split())})") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{path}: holds {type(fields).__name__}, valid is a mapping of fields")
    try:
        return TrainingConfig(**fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def dump_config(config: TrainingConfig) -> str:
    """The recipe as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)

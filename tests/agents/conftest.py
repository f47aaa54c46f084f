"""A recipe so small that training it takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

TINY: dict[str, Any] = {
    "algorithm": "maskable_ppo",
    "env_id": "DMoE-JESA-Sequential-v0",
    "scenario": "small",
    "overrides": {"num_experts": 3, "num_subcarriers": 6, "num_layers": 2},
    "training_overrides": {"num_layers": 1},
    "group": "tiny",
    "num_envs": 16,
    "total_timesteps": 1024,
    "network": "equivariant",
    "imitation": {"teacher": "JESA", "steps": 512, "rollout": 8, "batch_size": 64, "learning_rate": 0.01},
    "hyperparameters": {"n_steps": 16, "batch_size": 128, "n_epochs": 1, "gamma": 1.0},
    "checkpoint_every": 256,
    "evaluation": {"episodes": 4, "every": 512},
}


@pytest.fixture
def tiny() -> dict[str, Any]:
    """The recipe's fields."""
    return {key: dict(value) if isinstance(value, dict) else value for key, value in TINY.items()}


@pytest.fixture
def recipe_file(tmp_path: Path, tiny: dict[str, Any]) -> Path:
    """The recipe as a file."""
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny))
    return file

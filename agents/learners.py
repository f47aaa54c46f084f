"""Building Stable-Baselines3 learners from a recipe, and keeping their tensors, and only tensors, on disk."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.config import EquivariantConfig, PricesConfig, ResidualConfig, TrainingConfig
from agents.distributions import POLICIES
from agents.networks import EQUIVARIANT_POLICIES
from agents.networks.features import Prices
from agents.prices import PriceEvolution, PricePolicy
from agents.relative import RelativeRewards
from agents.residual import ResidualEvolution, ResidualPolicy, build_residual
from dmoe_gym.dmoe.env.base import DMoECore
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from dmoe_gym.io.files import write_whole

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "ppo": PPO,
    "maskable_ppo": MaskablePPO,
    "sac": SAC,
    "dqn": DQN,
}


def build_env(
    config: TrainingConfig, seed: int, num_envs: int | None = None, *, training: bool = True
) -> BatchedVecEnv | RelativeRewards:
    """The environments of a recipe, seeded; for evaluation as they are, without what eases training."""
    overrides = {**config.overrides, **(config.training_overrides if training else {})}
    env: BatchedVecEnv | RelativeRewards = BatchedVecEnv(
        config.env_id, num_envs or config.num_envs, scenario=config.scenario, **overrides
    )
    if training and config.relative_to is not None:
        env = RelativeRewards(env, config.relative_to, config.scenario, overrides)  # type: ignore[arg-type]
    env.seed(seed)
    return env


def build_learner(config: TrainingConfig, env: BatchedVecEnv | RelativeRewards, seed: int) -> BaseAlgorithm:
    """A fresh learner.

    Raises:
        ValueError: if the algorithm refuses the hyperparameters or the spaces, naming the recipe's field.
    """
    learner, policy, options = _parts(config, env)
    try:
        return learner(policy, env, seed=seed, device="cpu", policy_kwargs=options, **config.hyperparameters)
    except (TypeError, AssertionError, ValueError) as error:
        raise ValueError(f"hyperparameters or policy of {config.algorithm}: {' '.join(str(error).split())}") from None


def _parts(config: TrainingConfig, env: BatchedVecEnv | RelativeRewards) -> tuple[Any, Any, dict[str, Any]]:
    """The learner's class, SB3's policy class or name, and the policy's keyword arguments."""
    if isinstance(config.network, ResidualConfig):
        residual = build_residual(config.network.underneath, env.config, config.network.parameters)
        return ResidualEvolution, ResidualPolicy, {"residual": residual, "width": config.network.width}
    if isinstance(config.network, PricesConfig):
        return PriceEvolution, PricePolicy, {"config": env.config, **config.network.model_dump(exclude={"kind"})}
    algorithm = ALGORITHMS[config.algorithm]
    if not isinstance(config.network, EquivariantConfig):
        named = POLICIES.get(config.algorithm, {}).get(config.policy, config.policy)
        return algorithm, named, {"net_arch": list(config.network)}
    assert isinstance(env.core, DMoECore)  # the recipe's check has seen to it
    constants = env.core.constants
    prices = Prices(constants.transmission, constants.shortfall_price, constants.max_experts)
    equivariant = EQUIVARIANT_POLICIES[config.env_id, config.algorithm]
    return algorithm, equivariant, {"prices": prices, "width": config.network.width}


def save_checkpoint(model: BaseAlgorithm, path: Path) -> None:
    """Parameters and optimizer states, with the number of time steps, whole or not at all."""
    buffer = io.BytesIO()
    torch.save({"num_timesteps": model.num_timesteps, "parameters": model.get_parameters()}, buffer)
    write_whole(path, buffer.getvalue())


def load_checkpoint(model: BaseAlgorithm, path: Path) -> None:
    """Continue a learner from a checkpoint; only tensors and numbers are read, never code.

    Raises:
        ValueError: naming the file, if it is damaged or of another learner.
    """
    content = read_tensors(path)
    try:
        model.set_parameters(content["parameters"], exact_match=True)
        model.num_timesteps = int(content["num_timesteps"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        message = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: does not fit the recipe beside it ({message})") from None


def checkpoint_steps(path: Path) -> int:
    """Environment steps that a checkpoint has behind it; 0 where there is none.

    Raises:
        ValueError: naming the file, if it is damaged.
    """
    if not path.exists():
        return 0
    content = read_tensors(path)
    if not isinstance(content, dict) or not isinstance(content.get("num_timesteps"), int):
        raise ValueError(f"{path}: is no readable checkpoint (num_timesteps is missing)")
    return content["num_timesteps"]


def read_tensors(path: Path) -> Any:
    """A file of `torch.save`, restricted to tensors and plain containers.

    Raises:
        ValueError: naming the file, if it holds anything else or is damaged.
        OSError: if it cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises many kinds for a damaged file
        message = " ".join(str(error).split())[:120]
        raise ValueError(f"{path}: is no readable checkpoint ({message})") from None

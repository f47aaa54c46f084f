"""Environments and Stable-Baselines3 learners built from a recipe."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import nn

from agents.config import TrainingConfig
from agents.distributions import POLICIES
from agents.networks import NetworkKind
from agents.registry import ALGORITHMS
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "silu": nn.SiLU,
}


def build_env(config: TrainingConfig, seed: int, num_envs: int | None = None, *, training: bool = True) -> VecEnv:
    """The environments of a recipe, seeded; for evaluation as they are, without what eases training.

    Raises:
        ValueError: for an unknown id, scenario or override, or observations that cannot be stacked or normalized.
    """
    overrides = {**config.overrides, **(config.training_overrides if training else {})}
    size = num_envs or config.num_envs
    env: VecEnv = BatchedVecEnv(config.env_id, size, scenario=config.scenario, history=config.history, **overrides)
    space = env.observation_space
    if config.history > 1 and not (isinstance(space, spaces.Box) and len(space.shape) == 1):
        raise ValueError(f"history = {config.history}: valid is 1, observations of {config.env_id} are not flat")
    normalization = config.normalization
    if normalization is not None:
        try:
            env = VecNormalize(
                env,
                training=training,
                norm_obs=normalization.observations,
                norm_reward=normalization.rewards,
                clip_obs=normalization.clip_observations,
                clip_reward=normalization.clip_rewards,
                gamma=config.hyperparameters.get("gamma", 0.99),
            )
        except ValueError as error:
            raise ValueError(f"normalization: {error}") from None
    env.seed(seed)
    return env


def batch_of(env: VecEnv) -> BatchedVecEnv:
    """The suite's environments under Stable-Baselines3's wrappers."""
    assert isinstance(env.unwrapped, BatchedVecEnv)  # `build_env` makes no others
    return env.unwrapped


def build_learner(config: TrainingConfig, env: VecEnv, seed: int) -> BaseAlgorithm:
    """A fresh learner.

    Raises:
        ValueError: if the algorithm refuses the hyperparameters or the spaces, naming the recipe's field.
    """
    learner = ALGORITHMS[config.algorithm]
    policy, options = _policy(config, env)
    hyperparameters = _hyperparameters(config, env)
    try:
        return learner(policy, env, seed=seed, device="cpu", policy_kwargs=options, **hyperparameters)
    except Exception as error:  # the libraries raise many kinds for what they do not take
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(f"hyperparameters or policy of {config.algorithm}: {said}") from None


def _policy(config: TrainingConfig, env: VecEnv) -> tuple[Any, dict[str, Any]]:
    """SB3's policy class or name, and the policy's keyword arguments."""
    options: dict[str, Any] = dict(config.policy_options)
    activation = options.get("activation_fn")
    if activation is not None:
        if activation not in ACTIVATIONS:
            valid = ", ".join(ACTIVATIONS)
            raise ValueError(f"policy_options.activation_fn = {activation!r}: valid are {valid}")
        options["activation_fn"] = ACTIVATIONS[activation]
    if isinstance(config.network, NetworkKind):
        kind, own = config.network.policy(config, batch_of(env))
        return kind, {**own, **options}
    name = config.policy or _default_policy(config, env)
    if name != "LinearPolicy":  # sb3-contrib's for ARS, which has no hidden layers
        options["net_arch"] = list(config.network)
    return POLICIES.get(config.algorithm, {}).get(name, name), options


def _default_policy(config: TrainingConfig, env: VecEnv) -> str:
    inputs = "MultiInput" if isinstance(env.observation_space, spaces.Dict) else "Mlp"
    memory = "Lstm" if issubclass(ALGORITHMS[config.algorithm], RecurrentPPO) else ""
    return f"{inputs}{memory}Policy"


def _hyperparameters(config: TrainingConfig, env: VecEnv) -> dict[str, Any]:
    """As the algorithm takes them: YAML has no tuples and no objects."""
    values = dict(config.hyperparameters)
    if isinstance(values.get("train_freq"), list):
        values["train_freq"] = tuple(values["train_freq"])
    if isinstance(values.get("action_noise"), int | float):
        shape = env.action_space.shape or ()
        values["action_noise"] = NormalActionNoise(np.zeros(shape), np.full(shape, float(values["action_noise"])))
    return values

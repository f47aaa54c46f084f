"""Environments and Stable-Baselines3 learners built from a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import nn

from agents.config import ALGORITHMS, SCHEDULED, NetworkKind, TrainingConfig, scheduled
from agents.networks.heads import POLICIES
from dmoe_gym.facades.nodes import NODES_ID, NodesVecEnv
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from dmoe_gym.io.files import read_tensors, tensor_bytes, write_whole
from dmoe_gym.registration import system_of

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
    system_of(config.env_id).configuration(config.scenario, overrides)  # fields of it, no options of the facade
    size = num_envs or config.num_envs
    # nodes that decide for themselves share a policy
    kind = NodesVecEnv if config.env_id == NODES_ID else BatchedVecEnv
    env: VecEnv = kind(config.env_id, size, scenario=config.scenario, history=config.history, **overrides)
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


def trained(config: TrainingConfig, seed: int) -> BaseAlgorithm:
    """A learner at the end of its recipe, without run folder, evaluations and imitation.

    Raises:
        ValueError: as `build_env` and `build_learner`.
    """
    torch.set_num_threads(1)  # small networks: a second thread costs more than it brings
    return build_learner(config, build_env(config, seed), seed).learn(config.total_timesteps)


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
    for key in SCHEDULED:
        start = scheduled(key, values.get(key))
        if start is not None:
            values[key] = LinearSchedule(start, 0.0, 1.0)
    if isinstance(values.get("train_freq"), list):
        values["train_freq"] = tuple(values["train_freq"])
    if isinstance(values.get("action_noise"), int | float):
        shape = env.action_space.shape or ()
        values["action_noise"] = NormalActionNoise(np.zeros(shape), np.full(shape, float(values["action_noise"])))
    return values


Observation = Mapping[str, np.ndarray] | np.ndarray


class LearnedPolicy:
    """Deterministic actions of a Stable-Baselines3 model; of MaskablePPO among the feasible ones.

    It sees observations as the environment gives them: stacking and normalization of the recipe happen here, with the
    statistics of training as they stand. Its state is what the stack holds and, for recurrent models, the LSTM's.

    Args:
        model: with its environment, which says how observations are prepared.
    """

    def __init__(self, model: BaseAlgorithm) -> None:
        self.model = model
        self.normalizer = model.get_vec_normalize_env()
        env, seen = model.get_env(), model.observation_space
        single = batch_of(env).single_observation_space if env is not None else seen
        self.history = spaces.flatdim(seen) // spaces.flatdim(single)

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Any]:
        """The model's action(s), and what it wants to be handed back with the next observation."""
        past, memory = (None, None) if state is None else state
        seen, past = self._prepared(observation, past, episode_start)
        masks: Any = {"action_masks": action_masks} if isinstance(self.model, MaskablePPO) else {}
        actions, memory = self.model.predict(seen, memory, episode_start, deterministic, **masks)
        return actions, (past, memory)

    def _prepared(
        self, observation: Observation, past: np.ndarray | None, episode_start: np.ndarray | None
    ) -> tuple[Any, np.ndarray | None]:
        """What the model is shown, and what the stack holds now."""
        seen: Any = dict(observation) if isinstance(observation, Mapping) else np.asarray(observation)
        if self.history > 1:
            older = np.zeros((*seen.shape[:-1], seen.shape[-1] * self.history), seen.dtype) if past is None else past
            if episode_start is not None:
                older = np.where(np.asarray(episode_start)[..., None], 0, older)
            seen = past = np.concatenate([older[..., seen.shape[-1] :], seen], axis=-1)
        return (seen if self.normalizer is None else self.normalizer.normalize_obs(seen)), past


def as_policy(model: BaseAlgorithm) -> LearnedPolicy:
    """The model behind the suite's policy protocol."""
    env = model.get_env()
    by_node = env is not None and isinstance(env.unwrapped, NodesVecEnv)
    return NodesLearnedPolicy(model) if by_node else LearnedPolicy(model)


class NodesLearnedPolicy(LearnedPolicy):
    """A policy of one node, asked for every node of every environment."""

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
        action_masks: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Any]:
        """Actions (..., K x entries) of observations (..., K x features), node after node."""
        seen, env = np.asarray(observation), self.model.get_env()
        assert env is not None  # `as_policy` has looked
        features = batch_of(env).single_observation_space.shape[0]
        starts = None if episode_start is None else np.repeat(episode_start, seen.shape[-1] // features)
        actions, state = super().predict(seen.reshape(-1, features), state, starts, deterministic)
        return actions.reshape(*seen.shape[:-1], -1), state


# A larger buffer is not kept: an interrupted run fills it anew.
MOST_BYTES = 2**30


def save_replay(model: BaseAlgorithm, path: Path, steps: int) -> None:
    """Write what the learner's replay buffer holds, if it has one that is not larger than `MOST_BYTES`.

    Args:
        steps: environment steps, by which the checkpoint that it belongs to is known.
    """
    buffer: Any = getattr(model, "replay_buffer", None)
    if buffer is None:
        return
    filled = buffer.buffer_size if buffer.full else buffer.pos
    arrays = {name: values[:filled] for name, values in _arrays(buffer)}
    if sum(values.nbytes for values in arrays.values()) > MOST_BYTES:
        path.unlink(missing_ok=True)
        return
    about = {"steps": str(steps), "position": str(buffer.pos), "full": str(int(buffer.full))}
    write_whole(path, tensor_bytes(about, arrays))


def load_replay(model: BaseAlgorithm, path: Path, steps: int) -> bool:
    """Fill the learner's replay buffer from the file of the checkpoint of these steps; whether there was one.

    A file of another checkpoint or another buffer, or a damaged one, is passed over.
    """
    buffer: Any = getattr(model, "replay_buffer", None)
    if buffer is None or not path.is_file():
        return False
    try:
        about, kept = read_tensors(path)
        position, full = int(about["position"]), about["full"] == "1"
        ours = about["steps"] == str(steps) and 0 <= position <= buffer.buffer_size
    except (KeyError, ValueError):
        return False
    filled = buffer.buffer_size if full else position
    own = dict(_arrays(buffer))
    shapes = {name: (filled, *values.shape[1:]) for name, values in own.items()}
    if not ours or {name: values.shape for name, values in kept.items()} != shapes:
        return False
    for name, values in own.items():
        values[:filled] = kept[name]
    buffer.pos, buffer.full = position, full
    return True


def _arrays(buffer: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The buffer's arrays by name, a row per entry; dictionaries of observations key by key."""
    for name, value in vars(buffer).items():
        parts = {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        for label, part in parts.items():
            if isinstance(part, np.ndarray) and part.ndim >= 2 and len(part) == buffer.buffer_size:
                yield label, part

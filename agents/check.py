"""A recipe is checked whole before anything is computed or written.

Names and types of hyperparameters come from the algorithm itself, ranges stand here by name; what environments, buffers
and networks would take of memory is estimated before they are built.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents.config import ALGORITHMS, SCHEDULED, TrainingConfig, scheduled
from agents.imitation import teacher_scheduler
from agents.learners import as_policy, batch_of, build_env, build_learner
from dmoe_gym.evaluation import line_up_of

# What the suite gives algorithms itself, and classes, which YAML cannot say.
_TAKEN = {"self", "policy", "env", "seed", "device", "policy_kwargs", "tensorboard_log", "verbose", "_init_setup_model"}
_TAKEN |= {"rollout_buffer_class", "rollout_buffer_kwargs", "replay_buffer_class", "replay_buffer_kwargs"}
_LARGEST = 1e9
# Lowest and highest value by name; what is not here may be any finite number up to _LARGEST.
_SHARE, _POSITIVE, _COUNT, _SIZE = (0, 1), (1e-12, 1e6), (1, 10_000), (1, 10_000_000)
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("gamma", "gae_lambda", "tau", "exploration_fraction"), _SHARE),
    **dict.fromkeys(("exploration_initial_eps", "exploration_final_eps", "line_search_shrinking_factor"), _SHARE),
    **dict.fromkeys(("learning_rate", "clip_range", "clip_range_vf", "delta_std", "target_kl"), _POSITIVE),
    **dict.fromkeys(("max_grad_norm", "rms_prop_eps"), _POSITIVE),
    **dict.fromkeys(
        ("n_epochs", "policy_delay", "cg_max_steps", "sub_sampling_factor", "line_search_max_iter"), _COUNT
    ),
    **dict.fromkeys(("n_delta", "n_top", "n_eval_episodes", "n_critic_updates"), _COUNT),
    **dict.fromkeys(("n_steps", "batch_size", "buffer_size", "train_freq", "target_update_interval"), _SIZE),
    "stats_window_size": (1, 100_000),
    "gradient_steps": (-1, 10_000),
    "sde_sample_freq": (-1, _LARGEST),
    "top_quantiles_to_drop_per_net": (0, 24),
    **dict.fromkeys(("learning_starts", "ent_coef", "vf_coef", "cg_damping"), (0, _LARGEST)),
    **dict.fromkeys(("action_noise", "target_policy_noise", "target_noise_clip"), (0, 1e3)),
}
# Texts by name.
_TEXTS: dict[str, Callable[[str], bool]] = {
    "ent_coef": lambda text: text == "auto" or (text.startswith("auto_") and _is_positive(text[5:])),
    "target_entropy": lambda text: text == "auto",
}
# Bytes that a run may take [B].
MOST_BYTES = 4 * 2**30


def check_hyperparameters(algorithm: type[BaseAlgorithm], name: str, values: Mapping[str, Any]) -> None:
    """Refuse what the algorithm does not take.

    Args:
        algorithm: the learner's class; parameters without annotation are not judged by type.
        name: what recipes call it.
        values: keyword arguments.

    Raises:
        ValueError: naming the hyperparameter, its value and what is valid.
    """
    parameters = inspect.signature(algorithm.__init__).parameters
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    valid = [each for each, said in parameters.items() if said.kind not in (2, 4) and each not in _TAKEN]
    try:
        # Stable-Baselines3's alias of environments names VecEnv, which not every algorithm's module knows
        hints = get_type_hints(algorithm.__init__, localns={"VecEnv": VecEnv})
    except (NameError, TypeError):  # of an own algorithm, whose annotations cannot be resolved
        hints = {}
    for key, value in values.items():
        if key in _TAKEN or (key not in parameters and not open_ended):
            raise ValueError(f"hyperparameters.{key}: {name} has none such; valid are {', '.join(valid)}")
        _check(key, value, _kinds(hints[key]) if key in hints else None)


class _Kinds(NamedTuple):
    """What an annotation allows: which plain types, and whether a list."""

    plain: set[type]
    listed: bool


def _kinds(hint: Any) -> _Kinds:
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    plain = {part for part in parts if part in (bool, int, float, str, type(None))}
    if float in plain or ActionNoise in parts:
        plain |= {int, float}
    return _Kinds(plain, any(get_origin(part) is tuple for part in parts))


def _check(key: str, value: Any, kinds: _Kinds | None) -> None:
    where = f"hyperparameters.{key} = {str(value)[:60]!r}"
    if key in SCHEDULED and isinstance(value, str):
        start = scheduled(key, value)
        if start is None:
            raise ValueError(f"{where}: valid are a number, or lin_NUMBER for one that falls linearly to 0")
        value = start
    if isinstance(value, list) and (kinds is None or kinds.listed):
        if key == "train_freq" and len(value) == 2 and value[1] in ("step", "episode"):
            _check(key, value[0], _Kinds({int}, False))
            return
        raise ValueError(f"{where}: valid is [NUMBER, step] or [NUMBER, episode]")
    if kinds is not None and type(value) not in kinds.plain:
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}
        plain = kinds.plain - ({int} if float in kinds.plain else set())
        valid = [words[kind] for kind in words if kind in plain] or ["nothing that YAML can say"]
        raise ValueError(f"{where}: valid is {' or '.join(valid)}")
    if isinstance(value, str) and key in _TEXTS and not _TEXTS[key](value):
        raise ValueError(f"{where}: valid is auto" + (", auto_NUMBER or a number" if key == "ent_coef" else ""))
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = _RANGES.get(key, (-_LARGEST, _LARGEST))
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"{where}: valid are numbers from {low:g} to {high:g}")


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) <= _LARGEST
    except ValueError:
        return False


def check_memory(
    recipe: TrainingConfig, algorithm: type[BaseAlgorithm], observed: spaces.Space, acted: spaces.Space
) -> None:
    """Refuse a recipe whose environments, buffers or networks would take more than `MOST_BYTES`, before they are built.

    An estimate: 16 observations per environment for what it keeps, four numbers per parameter while it is learned.

    Args:
        recipe: what is to be trained.
        algorithm: its class.
        observed, acted: spaces of one environment, observations as the learner sees them.

    Raises:
        ValueError: naming the fields that take most.
    """
    entries, actions = spaces.flatdim(observed), spaces.flatdim(acted)
    defaults = {key: each.default for key, each in inspect.signature(algorithm.__init__).parameters.items()}
    given = {**{key: value for key, value in defaults.items() if isinstance(value, int)}, **recipe.hyperparameters}
    off_policy = issubclass(algorithm, OffPolicyAlgorithm)
    row = 4 * (entries * (2 if off_policy else 1) + actions + 8)
    taken = {"num_envs": 4 * 16 * entries * recipe.num_envs}
    if off_policy:
        taken["hyperparameters.buffer_size"] = row * int(given.get("buffer_size", 0))
    else:
        taken["num_envs and hyperparameters.n_steps"] = row * recipe.num_envs * int(given.get("n_steps", 0))
    if recipe.imitation is not None:
        taken["num_envs and imitation.rollout"] = 2 * row * recipe.num_envs * recipe.imitation.rollout
    if isinstance(recipe.network, tuple):
        hidden, layers = (
            number if isinstance(number := recipe.policy_options.get(key), int) else usual
            for key, usual in (("lstm_hidden_size", 256), ("n_lstm_layers", 1))
        )
        outputs = actions * (200 if off_policy else 1)  # quantiles of sb3-contrib's learners
        widths = [entries + actions, *recipe.network, outputs]
        parameters = sum(first * second for first, second in pairwise(widths))
        parameters += 8 * layers * hidden * (hidden + entries) if issubclass(algorithm, RecurrentPPO) else 0
        taken["network and policy_options"] = 4 * 4 * parameters * (6 if off_policy else 2)
    if sum(taken.values()) > MOST_BYTES:
        most = max(taken, key=lambda field: taken[field])
        raise ValueError(
            f"{most}: would take about {taken[most] / 2**30:.1f} of {sum(taken.values()) / 2**30:.1f} GiB, "
            f"valid are at most {MOST_BYTES / 2**30:.0f} GiB in all"
        )


def check_recipe(config: TrainingConfig, seeds: Sequence[int] | None = None) -> None:
    """Build everything that a recipe names once, before anything is computed or written.

    Args:
        seeds: to be trained instead of the recipe's own.

    Raises:
        ValueError: for seeds that a recipe may not have; naming what the environment, the learner or the teacher
            refuses, what would take too much memory, or inputs that are both trained on and judged by.
    """
    if seeds is not None:
        config.replace(seeds=tuple(seeds))
    algorithm = ALGORITHMS[config.algorithm]
    check_hyperparameters(algorithm, config.algorithm, config.hyperparameters)
    frequency = config.hyperparameters.get("train_freq")
    if isinstance(frequency, list) and frequency[1] == "episode" and config.num_envs > 1:
        raise ValueError(f"hyperparameters.train_freq = {frequency}: valid with num_envs = 1, not {config.num_envs}")
    try:
        trained, judged = (build_env(config, 0, num_envs=1, training=training) for training in (True, False))
    except gym.error.Error as error:
        raise ValueError(f"env_id = {config.env_id!r}: {' '.join(str(error).split())}") from None
    for part in ("observation_space", "action_space"):
        here, there = (_sizes(getattr(env, part)) for env in (trained, judged))
        if here != there:
            raise ValueError(f"training_overrides: their {part} is {here}, valid is that of evaluation, {there}")
    inputs = getattr(batch_of(trained).config, "inputs", None)
    if inputs is not None and inputs == batch_of(judged).config.inputs:
        raise ValueError(f"training_overrides.inputs = {inputs!r}: evaluation has the same; valid is another part")
    check_memory(config, algorithm, trained.observation_space, trained.action_space)
    line_up = line_up_of(config.env_id, config.scenario, **config.overrides)
    known = [*line_up.policies, *line_up.bounds]
    for name in config.evaluation.references or ():
        if name not in known:
            raise ValueError(f"evaluation.references: {name!r} is none; valid are {', '.join(known)}")
    model = build_learner(config, build_env(config, seed=0), seed=0)
    judged.reset()
    masks: dict[str, Any] = {"action_masks": batch_of(judged).core.masks()} if isinstance(model, MaskablePPO) else {}
    as_policy(model).predict(batch_of(judged).view.batch(), episode_start=np.ones(1, np.bool_), **masks)
    if config.imitation is not None:
        teacher_scheduler(config.imitation.teacher, batch_of(trained).config)


def _sizes(space: spaces.Space) -> Any:
    """Sizes of a space, by which two of them are compared."""
    if isinstance(space, spaces.Dict):
        return {key: part.shape for key, part in space.spaces.items()}
    if isinstance(space, spaces.MultiDiscrete):
        return np.asarray(space.nvec).tolist()
    return int(space.n) if isinstance(space, spaces.Discrete) else space.shape

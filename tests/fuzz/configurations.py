"""Seeded random configurations of every id, at the ends of what is valid, between, and beyond.

A configuration is either refused in one line, or it works: observations lie in their space, rewards are finite, rounds
are what their own type accepts, and what an action decides passes the check.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import gymnasium as gym
import numpy as np
from annotated_types import Ge, Gt, Le, Lt

import dmoe_gym  # noqa: F401  registers the environments
from dmoe_gym.channel import CSIConfig, KnowledgeConfig
from dmoe_gym.config import Component, StrictConfig, kinds
from dmoe_gym.relevance import DirichletConfig, RelevanceConfig

# sizes whose episodes take milliseconds
SMALL = {
    "DMoE-JESA": {
        "num_experts": (2, 5),
        "num_states": (1, 3),
        "num_subcarriers": (1, 8),
        "num_layers": (1, 3),
        "max_experts": (1, 3),
    },
    "DMoE-Inference": {"num_subcarriers": (1, 16), "max_experts": (1, 4)},
    "WDMoE-Inference": {"max_experts": (1, 4)},
    "WDMoE": {"num_devices": (1, 5), "num_tokens": (1, 4), "num_blocks": (1, 3), "max_experts": (1, 3)},
    "ChannelAwareGating": {"num_inputs": (1, 3), "top_k": (1, 4)},
}
SMALL["DMoE-DES"] = SMALL["DMoE-Nodes"] = SMALL["DMoE-JESA"]
WRONG = (
    None,
    "x",
    "",
    [],
    {},
    [1, 2, 3],
    float("nan"),
    float("inf"),
    -1,
    -1.0,
    0,
    True,
    object(),
    10**400,
    b"x",
    {1: 2},
)
HUGE = (10**6, 10**9, 10**30, 0, -5)
STEPS = 3


def sizes_of(env_id: str) -> dict[str, tuple[int, int]]:
    """The fields that decide how large an episode is, and small values of them."""
    return next(sizes for prefix, sizes in SMALL.items() if env_id.startswith(prefix))


def drawn_overrides(rng: np.random.Generator, env_id: str, config: type[StrictConfig]) -> dict[str, Any]:
    """Random fields of a configuration: a size each, and a few others."""
    sizes = sizes_of(env_id)
    overrides: dict[str, Any] = {name: int(rng.integers(low, high + 1)) for name, (low, high) in sizes.items()}
    # what needs files, or a network of its own
    others = sorted(set(config.model_fields) - set(sizes) - {"networks", "dataset", "data_root"})
    for name in map(str, rng.choice(others, min(int(rng.integers(1, 6)), len(others)), replace=False)):
        field = config.model_fields[name]
        overrides[name] = drawn_value(rng, field.annotation, field.metadata)
    if rng.random() < 0.05:
        overrides[str(rng.choice(list(sizes)))] = HUGE[rng.integers(len(HUGE))]
    if rng.random() < 0.1:
        name = str(rng.choice(others))
        overrides[name] = WRONG[rng.integers(len(WRONG))]
    return overrides


def drawn_value(rng: np.random.Generator, annotation: Any, metadata: Any = ()) -> Any:
    """A random value of a field by its type and bounds, mostly valid."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return drawn_value(rng, inner, more)
    if origin in (Union, types.UnionType):
        choices = get_args(annotation)
        return drawn_value(rng, choices[rng.integers(len(choices))], metadata)
    if annotation is types.NoneType:
        return None
    if origin is Literal:
        choices = get_args(annotation)
        return choices[rng.integers(len(choices))]
    if origin is tuple:
        parts = [part for part in get_args(annotation) if part is not Ellipsis]
        return tuple(sorted((drawn_value(rng, part) for part in parts), reverse=bool(rng.random() < 0.3)))
    if annotation in (int, float):
        value = _number(rng, metadata)
        return int(value) if annotation is int else float(value)
    if annotation is bool:
        return bool(rng.integers(2))
    if annotation is str:
        return str(rng.choice(["", "x", "digits", "trace:nobody"]))
    if isinstance(annotation, type) and issubclass(annotation, StrictConfig):
        return _drawn_part(rng, annotation)
    if origin is dict:  # what is believed of the configuration, or of nothing in it
        values = ({}, {"battery_j": 0.01}, {"mean_snr_db": -3.0}, {"num_experts": 3}, {"nothing": None})
        return values[rng.integers(len(values))]
    raise TypeError(f"no values for {annotation!r}")


def _number(rng: np.random.Generator, metadata: Any) -> float:
    """An end of the range, or a number between, evenly over its orders of magnitude."""
    low, high = -1e3, 1e6
    for bound in metadata:
        low = bound.ge if isinstance(bound, Ge) else np.nextafter(bound.gt, np.inf) if isinstance(bound, Gt) else low
        high = bound.le if isinstance(bound, Le) else np.nextafter(bound.lt, -np.inf) if isinstance(bound, Lt) else high
    if rng.random() < 0.4:
        return [low, high][rng.integers(2)]
    if low >= 0 and high / max(low, 1e-9) > 100:
        return float(np.clip(np.exp(rng.uniform(np.log(max(low, 1e-9)), np.log(high))), low, high))
    return rng.uniform(low, high)


def _drawn_part(rng: np.random.Generator, base: type[StrictConfig]) -> Any:
    """A mapping of fields of a part of the configuration."""
    if base is KnowledgeConfig:
        base = CSIConfig
    if base is RelevanceConfig:
        base = DirichletConfig
    if issubclass(base, Component) and kinds(base) and base not in (CSIConfig, DirichletConfig):
        own = [kind for kind in kinds(base).values() if kind.__module__.startswith("dmoe_gym.")]
        base = own[rng.integers(len(own))]
    fields: dict[str, Any] = {"kind": base.model_fields["kind"].default} if "kind" in base.model_fields else {}
    for name, field in base.model_fields.items():
        if name != "kind" and rng.random() < 0.5:
            fields[name] = drawn_value(rng, field.annotation, field.metadata)
    # processes whose memory grows with them are not what is looked for here
    if base is CSIConfig and rng.random() < 0.9:
        fields["delay_rounds"] = int(rng.integers(0, 3))
    return fields


def outcome(env_id: str, scenario: str | None, overrides: Mapping[str, Any], seed: int) -> str:
    """ "refused" or "valid"; an AssertionError where a configuration is neither."""
    try:
        env = gym.make(env_id, scenario=scenario, disable_env_checker=True, **overrides)
    except (ValueError, TypeError) as error:
        text = str(error)
        assert text, "an error without words"
        assert "\n" not in text, f"more than one line: {text}"
        assert len(text) < 3000, f"a long line: {text[:200]}"
        return "refused"
    core = env.unwrapped.core  # type: ignore[attr-defined]
    env.action_space.seed(seed)
    observation, info = env.reset(seed=seed)
    for _ in range(STEPS):
        _require_inside(env.observation_space, observation)
        before = env.unwrapped.observed_round  # type: ignore[attr-defined]
        assert env.unwrapped.round is not None  # type: ignore[attr-defined]
        action = env.action_space.sample(info["action_mask"]) if "action_mask" in info else env.action_space.sample()
        observation, reward, terminated, _, info = env.step(action)
        assert np.isfinite(reward), f"reward {reward}"
        if core.decides_rounds:
            violations = core.check(before, core.schedule(0))
            assert not violations, violations[0]
        if terminated:
            _require_inside(env.observation_space, observation)
            observation, info = env.reset()
    return "valid"


def _require_inside(space: gym.Space, observation: Any) -> None:
    boxes = space.spaces if isinstance(space, gym.spaces.Dict) else {"observation": space}
    parts = observation if isinstance(observation, Mapping) else {"observation": observation}
    for key, values in parts.items():
        box: Any = boxes[key]
        wrong = f"{key} from {values.min()} to {values.max()} lies outside its space"
        assert box.contains(values), f"{wrong}: {box.low.min()} to {box.high.max()}"

"""Fingerprints of the first episodes of every id and scenario, under random actions and for published rows.

`python tests/frozen/frozen_episodes.py` adds to `episodes.json` what it has not yet: a new id or scenario. What stands
there was made before any code moved, and is taken out by hand when an id's version is raised.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import dmoe_gym  # noqa: F401  registers the environments

FILE = Path(__file__).with_name("episodes.json")
DMOE = ("small", "paper", "scarce", "large", "stale", "selective", "budget", "battery", "mobile", "recorded")
INFERENCE = ("digits", "digits-scarce", "digits-stale", "language", "language-scarce", "language-stale")
WDMOE = ("testbed", "mixtral", "crowd")
WDMOE_INFERENCE = ("language", "digits")
SCENARIOS = {
    "DMoE-DES-v0": ("small", "paper", "scarce", "large", "selective", "recorded"),
    "DMoE-JESA-v0": (*DMOE, "harvest", "blockage"),
    "DMoE-JESA-Sequential-v0": (*DMOE, "harvest", "blockage"),
    "DMoE-JESA-Price-v0": (*DMOE, "harvest", "blockage"),
    "DMoE-JESA-Residual-v0": (*DMOE, "harvest", "blockage"),
    "DMoE-Nodes-v0": ("small", "scarce", "stale", "budget", "battery", "harvest", "blockage"),
    "DMoE-Nodes-Residual-v0": ("small", "scarce", "stale", "battery", "harvest", "blockage"),
    "DMoE-Inference-v0": INFERENCE,
    "DMoE-Inference-Joint-v0": INFERENCE,
    "DMoE-Inference-Residual-v0": INFERENCE,
    "WDMoE-v0": WDMOE,
    "WDMoE-Joint-v0": WDMOE,
    "WDMoE-Residual-v0": WDMOE,
    "WDMoE-Inference-v0": WDMOE_INFERENCE,
    "WDMoE-Inference-Joint-v0": WDMOE_INFERENCE,
    "WDMoE-Inference-Residual-v0": WDMOE_INFERENCE,
    "ChannelAwareGating-v0": ("analog", "digital", "coded", "stale"),
}
# "ID/SCENARIO", every one of them
KEYS = tuple(f"{env_id}/{scenario}" for env_id, scenarios in SCENARIOS.items() for scenario in scenarios)
MOST_STEPS = 24


def trajectory(env_id: str, scenario: str, steps: int = MOST_STEPS) -> Iterator[tuple[str, np.ndarray]]:
    """Named arrays of what a reset with seed 7 and random actions (seed 3) return, across episodes' ends.

    In the sequential environment the actions are drawn among those that the mask allows.
    """
    env = gym.make(env_id, scenario=scenario, disable_env_checker=True)
    # the large scenario is for its size: a few of its steps say enough
    steps = min(steps, 3) if scenario == "large" else steps
    choices = np.random.default_rng(3)
    env.action_space.seed(3)
    observation, info = env.reset(seed=7)
    yield from named("observation", observation)
    for _ in range(steps):
        if "action_mask" in info:
            action = choices.choice(np.flatnonzero(info["action_mask"]))
        else:
            action = env.action_space.sample()
        observation, reward, terminated, truncated, info = env.step(action)
        yield from named("observation", observation)
        yield "reward", np.float64(reward)
        yield from named("info", {key: value for key, value in info.items() if key not in UNTOLD})
        if terminated or truncated:
            observation, info = env.reset()
            yield from named("observation", observation)
    env.close()


# what an info may hold beside the terms of the step
UNTOLD = ("action_mask", "seed", "environment_index")


def named(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a nested dictionary by their path."""
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from named(f"{name}.{key}", value[key])
    else:
        yield name, np.asarray(value)


def fingerprint(env_id: str, scenario: str) -> dict[str, Any]:
    """`digest`: 16 hexadecimal digits of every bit; `values`: by name, two random projections and their scale.

    The digest holds where floating-point is that of the machine that wrote it; the projections hold everywhere to
    single precision, and say which array moved.
    """
    digest = hashlib.sha256()
    values: dict[str, list[float]] = {}
    weights = np.random.default_rng(5)
    for name, array in trajectory(env_id, scenario):
        digest.update(f"{name}{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        if array.dtype.kind not in "biuf":
            continue
        flat = array.astype(np.float64).ravel()
        projections = weights.standard_normal((2, flat.size)) * flat
        kept = values.setdefault(name, [0.0, 0.0, 0.0])
        for place, number in enumerate((*projections.sum(1), np.abs(projections).sum())):
            kept[place] += float(number)
    return {"digest": digest.hexdigest()[:16], "values": values}


def main() -> None:
    """Write the file."""
    told = json.loads(FILE.read_text())
    for key in KEYS:
        if key not in told:
            told[key] = fingerprint(*key.split("/", 1))
            FILE.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Frozen evaluation episodes: the optima of held-out episodes, kept in a data file.

A scenario that is published must not change: the file also holds a digest of the first episode's true rounds.
`experiments/optima.py` makes the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import dmoe_gym.dmoe
from dmoe_gym.evaluation.run import Row
from dmoe_gym.registration import create_core

OPTIMA = Path(dmoe_gym.dmoe.__file__).parent / "data" / "optima.json"
ENV_ID = "DMoE-JESA-v0"


def episode_digest(scenario: str, seed: int) -> str:
    """16 hexadecimal digits of an episode's true rounds, to 4 decimals: processors differ in the last bits."""
    core = create_core(ENV_ID, 1, scenario, {})
    core.seed([0], [(seed, 0)])
    core.start(core.all_rows)
    digest = hashlib.sha256()
    while not core.terminated[0]:
        current = core.round(0)
        for array in (current.gate_scores, current.gains, np.float64(current.threshold)):
            digest.update(np.round(array, 4).astype(np.float32).tobytes())
        core.skip_round(core.all_rows)
    return digest.hexdigest()[:16]


def cached_episodes(scenario: str) -> int:
    """How many held-out episodes of a scenario have cached optima."""
    if not OPTIMA.is_file():
        return 0
    return len(json.loads(OPTIMA.read_text()).get(scenario, {}).get("cost", []))


def cached_optima(scenario: str, seeds: Sequence[int]) -> list[Row] | None:
    """Rows of a scenario's cached optima (policy, scenario, seed, cost), or None if one of the seeds is not there."""
    if not OPTIMA.is_file():
        return None
    entry = json.loads(OPTIMA.read_text()).get(scenario)
    if entry is None:
        return None
    first, costs = entry["first_seed"], entry["cost"]
    if any(not first <= seed < first + len(costs) for seed in seeds):
        return None
    return [
        {
            "policy": entry["bound"],
            "env_id": ENV_ID,
            "scenario": scenario,
            "seed": seed,
            "cost": costs[seed - first],
        }
        for seed in seeds
    ]

"""Frozen evaluation episodes: the optima of held-out episodes, kept in a data file.

A scenario that is published must not change: the file also holds a digest of every episode's true rounds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import dmoe_gym.dmoe
from dmoe_gym.evaluation.line_up import line_up_of
from dmoe_gym.evaluation.run import Row, Start, evaluate_bound
from dmoe_gym.evaluation.seeds import held_out_seeds
from dmoe_gym.facades.create import create_core
from dmoe_gym.io.files import write_json

OPTIMA = Path(dmoe_gym.dmoe.__file__).parent / "data" / "optima.json"
ENV_ID = "DMoE-JESA-v0"
_CORE = "dmoe_gym.dmoe.env.joint:JointCore"


def episode_digest(scenario: str, seed: int) -> str:
    """16 hexadecimal digits of an episode's true rounds, to 4 decimals: processors differ in the last bits."""
    core = create_core(_CORE, 1, scenario, {})
    core.seed([0], [(seed, 0)])
    core.start(core.all_rows)
    digest = hashlib.sha256()
    while not core.terminated[0]:
        current = core.round(0)
        for array in (current.gate_scores, current.gains, np.float64(current.threshold)):
            digest.update(np.round(array, 4).astype(np.float32).tobytes())
        core.skip_round(core.all_rows)
    return digest.hexdigest()[:16]


def build_optima(
    scenarios: Sequence[str],
    episodes: int = 100,
    *,
    jobs: int = 1,
    path: Path = OPTIMA,
    report: Callable[[str], None] = print,
    progress: Start | None = None,
) -> dict[str, Any]:
    """Compute the optimum (exact per round, or clairvoyant over the episode) of held-out episodes and write the file.

    Args:
        scenarios: which; others in the file are kept.
        episodes: the first so many held-out seeds.
        jobs: processes; -1 for one per core.
    """
    kept = json.loads(path.read_text()) if path.is_file() else {}
    seeds = held_out_seeds(episodes)
    for scenario in scenarios:
        bound = line_up_of(ENV_ID, scenario).optimum
        tick = progress(f"{scenario} {bound}", episodes) if progress else None
        rows = evaluate_bound(bound, ENV_ID, scenario=scenario, seeds=seeds, jobs=jobs, progress=tick)
        kept[scenario] = {
            "bound": bound,
            "first_seed": seeds.start,
            "first_digest": episode_digest(scenario, seeds.start),
            "cost": [row["cost"] for row in rows],
        }
        write_json(path, kept)
        report(f"{scenario}: {bound} {np.mean(kept[scenario]['cost']):.4f} over {episodes} episodes")
    return kept


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

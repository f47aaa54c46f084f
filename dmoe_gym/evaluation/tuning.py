"""Tuning of the analytic schedulers on training episodes, and the file of what it found."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import dmoe_gym.dmoe
from dmoe_gym.dmoe import scenario as named_scenario
from dmoe_gym.dmoe.line_up import schedulers_of
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.strongest import CORRECTABLE
from dmoe_gym.dmoe.schedulers.tuned import TUNABLE, Parameters, combinations, refined
from dmoe_gym.evaluation.run import Start, evaluate
from dmoe_gym.evaluation.seeds import FIRST_HELD_OUT_SEED, FIRST_VALIDATION_SEED
from dmoe_gym.io.files import write_json

STRONGEST = Path(dmoe_gym.dmoe.__file__).parent / "data" / "strongest.json"
TUNED = Path(dmoe_gym.dmoe.__file__).parent / "data" / "tuned.json"
# Training episodes that all of a scheduler's candidates together get in one scenario.
BUDGET = 32_000


def tunable_in(scenario: str) -> list[str]:
    """The tunable schedulers of a scenario's regime."""
    config = named_scenario(scenario)
    names = [name for name in TUNABLE if name in schedulers_of(config)]
    # JESA has a parameter only where the system gives no threshold
    return [name for name in names if name != "JESA" or config.relevance_budget is not None]


def tune(
    scenario: str, name: str, *, budget: int = BUDGET, progress: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """The parameters of least mean cost on training episodes (seeds from 0).

    Half of the budget goes to the grid, all its candidates on the same episodes; the other half to a finer grid between
    the neighbours of its best, the best included, on the episodes after those.

    Args:
        budget: episodes of all candidates together.
        progress: called with the number of finished episodes.

    Returns:
        parameters; cost, their mean on the second episodes; candidates and episodes per candidate of both halves.

    Raises:
        ValueError: if the scheduler is not tunable in the scenario, or the budget less than one episode each.
    """
    known = tunable_in(scenario)
    if name not in known:
        raise ValueError(f"scheduler = {name!r}: tunable in {scenario!r} are {', '.join(known) or 'none'}")
    config = named_scenario(scenario)
    grid = TUNABLE[name][1]
    first, counts = 0, []
    best: Parameters = {}
    cost = float("nan")
    for stage in range(2):
        options = combinations(grid if stage == 0 else refined(grid, best))
        episodes = budget // 2 // len(options)
        if not 1 <= first + episodes <= FIRST_HELD_OUT_SEED:
            raise ValueError(f"budget = {budget}: valid are at least {2 * len(options)} episodes, one per candidate")
        costs = []
        for parameters in options:
            policy = JointPolicy(TUNABLE[name][0](config, **parameters))
            seeds = range(first, first + episodes)
            rows = evaluate(policy, "DMoE-JESA-v0", scenario=scenario, seeds=seeds, check=False)
            costs.append(float(np.mean([row["cost"] for row in rows])))
            if progress is not None:
                progress(episodes)
        best, cost = options[int(np.argmin(costs))], min(costs)
        counts.append((len(options), episodes))
        first += episodes
    return {
        "parameters": best,
        "cost": cost,
        "candidates": [candidates for candidates, _ in counts],
        "episodes_per_candidate": [episodes for _, episodes in counts],
    }


def tune_all(
    scenarios: Sequence[str],
    *,
    budget: int = BUDGET,
    path: Path = TUNED,
    report: Callable[[str], None] = print,
    progress: Start | None = None,
) -> dict[str, dict[str, Any]]:
    """Tune every scheduler of the given scenarios and write each finding into the file at once, others' kept."""
    found = json.loads(path.read_text()) if path.is_file() else {}
    for scenario in scenarios:
        for name in tunable_in(scenario):
            tick = progress(f"{scenario} {name}", budget) if progress else None
            result = tune(scenario, name, budget=budget, progress=tick)
            found.setdefault(scenario, {})[name] = result
            report(f"{scenario} {name}: {result}")
            write_json(path, found)
    return found


def choose_strongest(
    scenarios: Sequence[str],
    episodes: int,
    *,
    path: Path = STRONGEST,
    report: Callable[[str], None] = print,
    progress: Start | None = None,
) -> dict[str, dict[str, Any]]:
    """Which of the correctable schedulers costs least on validation episodes, into the file, others kept.

    Args:
        episodes: validation episodes, seeds from 900,000, the same for all schedulers.
    """
    found = json.loads(path.read_text()) if path.is_file() else {}
    seeds = range(FIRST_VALIDATION_SEED, FIRST_VALIDATION_SEED + episodes)
    for scenario in scenarios:
        config = named_scenario(scenario)
        candidates = [name for name in CORRECTABLE if name in schedulers_of(config)]
        tick = progress(scenario, episodes * len(candidates)) if progress else None
        costs = {}
        for name in candidates:
            policy = JointPolicy(CORRECTABLE[name](config))
            rows = evaluate(policy, "DMoE-JESA-v0", scenario=scenario, seeds=seeds, check=False, progress=tick)
            costs[name] = float(np.mean([row["cost"] for row in rows]))
        best = min(costs, key=lambda name: costs[name])
        found[scenario] = {"scheduler": best, "episodes": episodes, "costs": costs}
        report(f"{scenario}: {found[scenario]}")
        write_json(path, found)
    return found

"""The parameters of tunable schedulers: which values tuning tries, and what it found for the named scenarios.

`dmoe_gym/dmoe/data/tuned.json` is written by `dmoe_gym.evaluation.tuning` from training episodes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

import numpy as np

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.policies.episode import AdaptiveLagrangianJESA, BatteryJESA, LagrangianJESA
from dmoe_gym.dmoe.policies.planner import Planner
from dmoe_gym.dmoe.policies.schedulers import Homogeneous
from dmoe_gym.dmoe.policies.uncertain import ExpectedCostJESA, PredictedJESA
from dmoe_gym.dmoe.scenarios import SCENARIOS

Parameters = dict[str, float]

_MULTIPLIERS = [round(float(value), 3) for value in np.geomspace(0.5, 16, 21)]


def _threshold_jesa(config: DMoEConfig, z: float | None = None) -> Planner:
    return Homogeneous(config, config.threshold if z is None else z)


# scheduler -> (how it is built, the values that tuning tries of each parameter)
TUNABLE: dict[str, tuple[Callable[..., Planner], dict[str, list[float]]]] = {
    "JESA": (_threshold_jesa, {"z": [round(0.02 * step, 2) for step in range(10, 46)]}),
    "JESA-margin": (PredictedJESA, {"margin": [1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45]}),
    "JESA-expected": (ExpectedCostJESA, {"caution": [0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0]}),
    "Lagrangian": (LagrangianJESA, {"multiplier": _MULTIPLIERS}),
    "Lagrangian-adaptive": (AdaptiveLagrangianJESA, {"multiplier": _MULTIPLIERS, "gain": [0.0, 2.0, 5.0, 10.0]}),
    "JESA-battery": (
        BatteryJESA,
        {"strength": [0.1, 0.3, 1.0, 3.0, 10.0, 30.0], "power": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]},
    ),
}


def candidates(name: str) -> list[Parameters]:
    """Every combination of values that tuning tries of a scheduler."""
    grid = TUNABLE[name][1]
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


@cache
def _found() -> dict[str, dict[str, Any]]:
    path = files("dmoe_gym.dmoe") / "data" / "tuned.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def tuned_parameters(name: str, config: DMoEConfig) -> Parameters:
    """What tuning found for a scheduler in the scenario of this very configuration; empty for its defaults."""
    for scenario, known in SCENARIOS.items():
        if known == config:
            return _found().get(scenario, {}).get(name, {}).get("parameters", {})
    return {}


def tuned(name: str) -> Callable[[DMoEConfig], Planner]:
    """A builder of a tunable scheduler with the parameters that were found for the configuration's scenario."""
    build = TUNABLE[name][0]
    return lambda config: build(config, **tuned_parameters(name, config))

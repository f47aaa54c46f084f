"""The parameters of tunable schedulers: which values tuning tries, and what it found for the named scenarios.

`dmoe_gym/dmoe/data/tuned.json` is made from training episodes by the experiment `tuning`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from itertools import pairwise, product
from typing import Any

import numpy as np

from dmoe_gym.channel import BlockageConfig
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.scenarios import scenario_of
from dmoe_gym.dmoe.schedulers.blockage import FilterJESA, OuterLoopJESA
from dmoe_gym.dmoe.schedulers.episode import AdaptiveLagrangianJESA, BatteryJESA, HarvestJESA, LagrangianJESA
from dmoe_gym.dmoe.schedulers.rounds import JESA, Homogeneous, SinglePass
from dmoe_gym.dmoe.schedulers.scheduler import Correctable, Scheduler
from dmoe_gym.dmoe.schedulers.uncertain import ExpectedCostJESA, ExpectedCostRestarts, PredictedJESA
from dmoe_gym.dmoe.solvers.delivery import ChannelLaw

Parameters = dict[str, float]
Grid = dict[str, list[float]]

_MULTIPLIERS = [round(float(value), 3) for value in np.geomspace(0.5, 16, 21)]


def _threshold_jesa(config: DMoEConfig, z: float | None = None) -> Scheduler:
    return Homogeneous(config, config.threshold if z is None else z)


# scheduler -> (how it is built, the values that tuning tries of each parameter)
TUNABLE: dict[str, tuple[Callable[..., Scheduler], Grid]] = {
    "JESA": (_threshold_jesa, {"z": [round(0.02 * step, 2) for step in range(10, 46)]}),
    "JESA-margin": (PredictedJESA, {"margin": [1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45]}),
    "JESA-expected": (ExpectedCostJESA, {"caution": [0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0, 3.0]}),
    "Lagrangian": (LagrangianJESA, {"multiplier": _MULTIPLIERS}),
    "Lagrangian-adaptive": (AdaptiveLagrangianJESA, {"multiplier": _MULTIPLIERS, "gain": [0.0, 2.0, 5.0, 10.0]}),
    "JESA-outer-loop": (
        OuterLoopJESA,
        {"step_db": [3.0, 6.0, 12.0, 24.0], "target": [0.02, 0.1, 0.3], "forget": [0.0, 0.05, 0.1, 0.2]},
    ),
    "JESA-filter": (FilterJESA, {"caution": [0.5, 0.7, 1.0, 1.4, 2.0], "probing": [0.0, 0.3, 0.6, 1.0, 1.5, 2.5]}),
    "JESA-battery": (
        BatteryJESA,
        {"strength": [0.1, 0.3, 1.0, 3.0, 10.0, 30.0], "power": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]},
    ),
    "JESA-harvest": (
        HarvestJESA,
        {"strength": [1.0, 3.0, 10.0, 30.0], "power": [2.0, 4.0, 8.0], "horizon": [4.0, 8.0, 16.0, 32.0]},
    ),
}


def combinations(grid: Grid) -> list[Parameters]:
    """Every combination of a grid's values."""
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def refined(grid: Grid, best: Parameters) -> Grid:
    """A finer grid around a combination of a grid: of each parameter five values from one neighbour to the other.

    Halfway is in ratio, or in difference where a neighbour is 0. At an end of the grid there are three.
    """

    def between(one: float, other: float) -> float:
        middle = np.sqrt(one * other) if one * other > 0 else (one + other) / 2
        return float(f"{middle:.3g}")

    finer: Grid = {}
    for name, values in grid.items():
        ordered = sorted(values)
        place = ordered.index(best[name])
        near = ordered[max(place - 1, 0) : place + 2]
        halves = [between(one, other) for one, other in pairwise(near)]
        finer[name] = sorted({*near, *halves})
    return finer


@cache
def shipped(name: str) -> dict[str, dict[str, Any]]:
    """What experiments found, by scenario: "tuned" parameters, "strongest" schedulers, held-out "optima"."""
    path = files("dmoe_gym.dmoe") / "data" / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def tuned_parameters(name: str, config: DMoEConfig) -> Parameters:
    """What tuning found for a scheduler in the scenario of this very configuration; empty for its defaults."""
    return shipped("tuned").get(scenario_of(config) or "", {}).get(name, {}).get("parameters", {})


def tuned(name: str, build: Callable[..., Scheduler] | None = None) -> Callable[[DMoEConfig], Scheduler]:
    """A builder of a tunable scheduler, or of one with its parameters, as found for the configuration's scenario."""
    made = build or TUNABLE[name][0]
    return lambda config: made(config, **tuned_parameters(name, config))


# schedulers that residual actions can correct, by their names in tables
CORRECTABLE: dict[str, Callable[[DMoEConfig], Any]] = {
    "JESA": JESA,
    "single-pass": SinglePass,
    "Lagrangian": tuned("Lagrangian"),
    "Lagrangian-adaptive": tuned("Lagrangian-adaptive"),
    "JESA-battery": tuned("JESA-battery"),
    "JESA-harvest": tuned("JESA-harvest"),
    "JESA-filter": tuned("JESA-filter"),
    "JESA-expected": tuned("JESA-expected"),
    "JESA-expected-restarts": tuned("JESA-expected", ExpectedCostRestarts),
}


def strongest_name(config: DMoEConfig) -> str:
    """The name of the strongest correctable scheduler: as recorded for a scenario, else by the regime."""
    scenario = scenario_of(config)
    if scenario in shipped("strongest"):
        return str(shipped("strongest")[scenario]["scheduler"])
    if config.harvest is not None and config.harvest.known_mean_j is not None:
        return "JESA-harvest"
    if config.battery_j is not None:
        return "JESA-battery"
    if config.relevance_budget is not None:
        return "Lagrangian-adaptive"
    if config.acknowledged and isinstance(config.channel, BlockageConfig):
        return "JESA-filter"
    if not config.csi.is_perfect and ChannelLaw.fits(config.gain_law(0)):
        return "JESA-expected"
    return "JESA" if config.is_limited else "single-pass"


def strongest(config: DMoEConfig) -> Correctable:
    """The strongest scheduler of a configuration, or the one that it names to be corrected.

    Raises:
        ValueError: if it cannot be corrected, or does not go with the configuration.
    """
    chosen = config.residual.underneath or strongest_name(config)
    if chosen not in CORRECTABLE:
        raise ValueError(f"residual.underneath = {chosen!r}: valid are {', '.join(CORRECTABLE)}")
    return CORRECTABLE[chosen](config)

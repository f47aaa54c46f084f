"""Tuning of the analytic schedulers on training episodes, and the file of what it found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

import dmoe_gym.dmoe
from dmoe_gym.config import list_as_tuple
from dmoe_gym.dmoe import scenario as named_scenario
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.tuned import TUNABLE, Parameters, combinations, refined
from dmoe_gym.dmoe.system import schedulers_of
from dmoe_gym.evaluation.run import FIRST_HELD_OUT_SEED, evaluate
from experiments.optima import SCENARIOS
from experiments.page import Page
from experiments.runner import Experiment, Piece

TUNED = Path(dmoe_gym.dmoe.__file__).parent / "data" / "tuned.json"
# Training episodes that all of a scheduler's candidates together get in one scenario.
BUDGET = 32_000
FILE = "dmoe_gym/dmoe/data/tuned.json"


class Tuning(Experiment):
    """Every tunable scheduler of the scenarios."""

    name: ClassVar[str] = "tuning"
    about: ClassVar[str] = "parameters of analytic schedulers, tuned on training episodes, which the package ships"
    places: ClassVar[tuple[str, ...]] = (FILE,)

    scenarios: tuple[str, ...] = SCENARIOS
    budget: Annotated[int, Field(ge=1)] = BUDGET

    _list_as_tuple = field_validator("scenarios", mode="before")(list_as_tuple)

    def pieces(self) -> list[Piece]:
        return [
            Piece(tune, {"scenario": scenario, "name": name, "budget": self.budget})
            for scenario in self.scenarios
            for name in tunable_in(scenario)
        ]

    def page(self, values: Sequence[Any]) -> Page:
        """The package's file with these findings, others kept."""
        found = json.loads(TUNED.read_text()) if TUNED.is_file() else {}
        for piece, result in zip(self.pieces(), values, strict=True):
            found.setdefault(piece.key["scenario"], {})[piece.key["name"]] = result
        return Page(files={FILE: json.dumps(found, indent=2) + "\n"})


def tunable_in(scenario: str) -> list[str]:
    """The tunable schedulers of a scenario's regime."""
    config = named_scenario(scenario)
    names = [name for name in TUNABLE if name in schedulers_of(config)]
    # JESA has a parameter only where the system gives no threshold
    return [name for name in names if name != "JESA" or config.relevance_budget is not None]


def tune(
    scenario: str, name: str, budget: int = BUDGET, overrides: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """The parameters of least mean cost on training episodes (seeds from 0).

    Half of the budget goes to the grid, all its candidates on the same episodes; the other half to a finer grid between
    the neighbours of its best, the best included, on the episodes after those.

    Args:
        budget: episodes of all candidates together.
        overrides: of the scenario.

    Returns:
        parameters; cost, their mean on the second episodes; candidates and episodes per candidate of both halves.

    Raises:
        ValueError: if the scheduler is not tunable in the scenario, or the budget less than one episode each.
    """
    known = tunable_in(scenario)
    if name not in known:
        raise ValueError(f"scheduler = {name!r}: tunable in {scenario!r} are {', '.join(known) or 'none'}")
    config = named_scenario(scenario).replace(**overrides)
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
            rows = evaluate(policy, "DMoE-JESA-v0", scenario=scenario, seeds=seeds, check=False, **overrides)
            costs.append(float(np.mean([row["cost"] for row in rows])))
        best, cost = options[int(np.argmin(costs))], min(costs)
        counts.append((len(options), episodes))
        first += episodes
    return {
        "parameters": best,
        "cost": cost,
        "candidates": [candidates for candidates, _ in counts],
        "episodes_per_candidate": [episodes for _, episodes in counts],
    }

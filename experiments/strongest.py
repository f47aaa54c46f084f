"""Which analytic scheduler residual actions correct in every scenario: the one of least cost on validation episodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

import dmoe_gym.dmoe
from dmoe_gym.config import list_as_tuple
from dmoe_gym.dmoe import SCENARIOS
from dmoe_gym.dmoe import scenario as named_scenario
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.tuned import CORRECTABLE
from dmoe_gym.dmoe.system import DMOE, schedulers_of
from dmoe_gym.evaluation.run import FIRST_VALIDATION_SEED, evaluate, evaluate_bound
from experiments.page import Page
from experiments.runner import Experiment, Piece

STRONGEST = Path(dmoe_gym.dmoe.__file__).parent / "data" / "strongest.json"
FILE = "dmoe_gym/dmoe/data/strongest.json"
# Bounds that a scheduler's knowledge of the present can be read against.
ROOM = ("informed", "clairvoyant")


class Strongest(Experiment):
    """Every correctable scheduler of the scenarios, and the bound that says what room it leaves."""

    name: ClassVar[str] = "strongest"
    about: ClassVar[str] = "what DMoE-JESA-Residual-v0 corrects, chosen on validation episodes, which the package ships"
    places: ClassVar[tuple[str, ...]] = (FILE,)

    scenarios: tuple[str, ...] = tuple(name for name in SCENARIOS if name != "large")
    episodes: Annotated[int, Field(ge=1)] = 100

    _list_as_tuple = field_validator("scenarios", mode="before")(list_as_tuple)

    def pieces(self) -> list[Piece]:
        return [
            Piece(validation_cost, {"scenario": scenario, "name": name, "episodes": self.episodes})
            for scenario in self.scenarios
            for name in (*CORRECTABLE, *ROOM)
            if name in schedulers_of(named_scenario(scenario)) or name in DMOE.bounds_of(named_scenario(scenario))
        ]

    def page(self, values: Sequence[Any]) -> Page:
        """The package's file with these findings, others kept."""
        found = json.loads(STRONGEST.read_text()) if STRONGEST.is_file() else {}
        costs: dict[str, dict[str, float]] = {}
        for piece, cost in zip(self.pieces(), values, strict=True):
            costs.setdefault(piece.key["scenario"], {})[piece.key["name"]] = cost
        for scenario, by_name in costs.items():
            bounds = {name: by_name.pop(name) for name in ROOM if name in by_name}
            best = min(by_name, key=lambda name: by_name[name])
            found[scenario] = {"scheduler": best, "episodes": self.episodes, "costs": by_name, "bounds": bounds}
        return Page(files={FILE: json.dumps(found, indent=2) + "\n"})


def validation_cost(scenario: str, name: str, episodes: int) -> float:
    """A correctable scheduler's mean cost, or a bound's, on the first validation episodes."""
    seeds = range(FIRST_VALIDATION_SEED, FIRST_VALIDATION_SEED + episodes)
    if name in ROOM:
        rows = evaluate_bound(name, "DMoE-JESA-v0", scenario=scenario, seeds=seeds)
    else:
        policy = JointPolicy(CORRECTABLE[name](named_scenario(scenario)))
        rows = evaluate(policy, "DMoE-JESA-v0", scenario=scenario, seeds=seeds, check=False)
    return float(np.mean([row["cost"] for row in rows]))

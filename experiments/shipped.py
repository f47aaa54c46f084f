"""Findings that the package ships in `dmoe_gym/dmoe/data`: tuned parameters, strongest schedulers, held-out optima."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from dmoe_gym.dmoe import SCENARIOS
from dmoe_gym.dmoe import scenario as named_scenario
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.tuned import CORRECTABLE, TUNABLE, Parameters, combinations, refined, shipped
from dmoe_gym.dmoe.system import DMOE, schedulers_of
from dmoe_gym.evaluation import Row, evaluate, evaluate_bound, held_out_seeds, line_up_of
from dmoe_gym.evaluation.run import FIRST_HELD_OUT_SEED, FIRST_VALIDATION_SEED
from dmoe_gym.registration import create_core
from experiments.page import Page
from experiments.runner import Experiment, Piece, episode_piece, rows_by_policy

ENV_ID = "DMoE-JESA-v0"
# Where rounds are not all there is to know, or subcarriers are scarce.
REGIMES = ("scarce", "stale", "selective", "budget", "battery", "mobile")


def _file(name: str) -> str:
    return f"dmoe_gym/dmoe/data/{name}.json"


def _with(name: str, found: Mapping[str, Any]) -> Page:
    """A file of the package with findings by scenario, those of other scenarios kept."""
    return Page(files={_file(name): json.dumps({**shipped(name), **found}, indent=2) + "\n"})


# Training episodes that all of a scheduler's candidates together get in one scenario.
BUDGET = 32_000


class Tuning(Experiment):
    """Every tunable scheduler of the scenarios."""

    name: ClassVar[str] = "tuning"
    about: ClassVar[str] = "parameters of analytic schedulers, tuned on training episodes, which the package ships"
    places: ClassVar[tuple[str, ...]] = (_file("tuned"),)

    scenarios: tuple[str, ...] = REGIMES
    budget: Annotated[int, Field(ge=1)] = BUDGET

    def pieces(self) -> list[Piece]:
        return [
            Piece(tune, {"scenario": scenario, "name": name, "budget": self.budget})
            for scenario in self.scenarios
            for name in tunable_in(scenario)
        ]

    def page(self, values: Sequence[Any]) -> Page:
        found = {scenario: dict(shipped("tuned").get(scenario, {})) for scenario in self.scenarios}
        for piece, result in zip(self.pieces(), values, strict=True):
            found[piece.key["scenario"]][piece.key["name"]] = result
        return _with("tuned", found)


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


# Bounds that a scheduler's knowledge of the present can be read against.
ROOM = ("informed", "clairvoyant")


class Strongest(Experiment):
    """Every correctable scheduler of the scenarios, and the bound that says what room it leaves."""

    name: ClassVar[str] = "strongest"
    about: ClassVar[str] = "what DMoE-JESA-Residual-v0 corrects, chosen on validation episodes, which the package ships"
    places: ClassVar[tuple[str, ...]] = (_file("strongest"),)

    scenarios: tuple[str, ...] = tuple(name for name in SCENARIOS if name != "large")
    episodes: Annotated[int, Field(ge=1)] = 100

    def pieces(self) -> list[Piece]:
        return [
            Piece(validation_cost, {"scenario": scenario, "name": name, "episodes": self.episodes})
            for scenario in self.scenarios
            for name in (*CORRECTABLE, *ROOM)
            if name in schedulers_of(named_scenario(scenario)) or name in DMOE.bounds_of(named_scenario(scenario))
        ]

    def page(self, values: Sequence[Any]) -> Page:
        found: dict[str, Any] = {}
        costs: dict[str, dict[str, float]] = {}
        for piece, cost in zip(self.pieces(), values, strict=True):
            costs.setdefault(piece.key["scenario"], {})[piece.key["name"]] = cost
        for scenario, by_name in costs.items():
            bounds = {name: by_name.pop(name) for name in ROOM if name in by_name}
            best = min(by_name, key=lambda name: by_name[name])
            found[scenario] = {"scheduler": best, "episodes": self.episodes, "costs": by_name, "bounds": bounds}
        return _with("strongest", found)


def validation_cost(scenario: str, name: str, episodes: int) -> float:
    """A correctable scheduler's mean cost, or a bound's, on the first validation episodes."""
    seeds = range(FIRST_VALIDATION_SEED, FIRST_VALIDATION_SEED + episodes)
    if name in ROOM:
        rows = evaluate_bound(name, ENV_ID, scenario=scenario, seeds=seeds)
    else:
        policy = JointPolicy(CORRECTABLE[name](named_scenario(scenario)))
        rows = evaluate(policy, ENV_ID, scenario=scenario, seeds=seeds, check=False)
    return float(np.mean([row["cost"] for row in rows]))


# Episodes of one piece.
BLOCK = 10


class Optima(Experiment):
    """The optimum (exact per round, or clairvoyant over the episode) of the first held-out episodes.

    A scenario that is published must not change: the file also holds a digest of the first episode's true rounds.
    """

    name: ClassVar[str] = "optima"
    about: ClassVar[str] = "optima of held-out episodes, which the package ships"
    places: ClassVar[tuple[str, ...]] = (_file("optima"),)

    scenarios: tuple[str, ...] = REGIMES
    episodes: Annotated[int, Field(ge=1)] = 100

    def pieces(self) -> list[Piece]:
        seeds = held_out_seeds(self.episodes)
        blocks = [seeds[first : first + BLOCK] for first in range(0, len(seeds), BLOCK)]
        return [
            episode_piece(line_up_of(ENV_ID, scenario).optimum, ENV_ID, scenario, block)
            for scenario in self.scenarios
            for block in blocks
        ]

    def page(self, values: Sequence[Any]) -> Page:
        found = {}
        first = held_out_seeds(1).start
        for scenario in self.scenarios:
            ((bound, rows),) = rows_by_policy(self.pieces(), values, scenario=scenario).items()
            found[scenario] = {
                "bound": bound,
                "first_seed": first,
                "first_digest": episode_digest(scenario, first),
                "cost": [row["cost"] for row in rows],
            }
        return _with("optima", found)


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


def shipped_optima(scenario: str) -> list[Row]:
    """Rows of a scenario's optima (policy, seed, cost); none if it has none."""
    entry = shipped("optima").get(scenario)
    if entry is None:
        return []
    seeds = range(entry["first_seed"], entry["first_seed"] + len(entry["cost"]))
    return [
        {"policy": entry["bound"], "seed": seed, "cost": cost} for seed, cost in zip(seeds, entry["cost"], strict=True)
    ]

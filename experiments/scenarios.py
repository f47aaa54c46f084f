"""The tables of the scenarios: every analytic scheduler on held-out episodes, the strongest named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from dmoe_gym.config import kind_of, list_as_tuple
from dmoe_gym.dmoe import scenario as named_scenario
from dmoe_gym.dmoe.scenarios import HARDNESS
from dmoe_gym.evaluation import Interval, Row, held_out_seeds, line_up_of, percent_change
from dmoe_gym.evaluation.optima import ENV_ID, cached_episodes, cached_optima
from dmoe_gym.evaluation.statistics import column
from dmoe_gym.evaluation.table import markdown_table
from experiments.episodes import episode_piece, rows_by_policy
from experiments.optima import SCENARIOS
from experiments.page import Page
from experiments.runner import Experiment, Piece
from experiments.tuning import TUNED

# What a cost may stay under the optimum by rounding.
_TOLERANCE = 1e-6


class Scenarios(Experiment):
    """Every analytic scheduler of the scenarios where one has to be good, beside the optimum."""

    name: ClassVar[str] = "scenarios"
    about: ClassVar[str] = "analytic schedulers where a scheduler has to be good, the strongest named"
    places: ClassVar[tuple[str, ...]] = ("docs/reports/scenarios.md",)

    scenarios: tuple[str, ...] = SCENARIOS
    episodes: Annotated[int, Field(ge=2)] = 100

    _list_as_tuple = field_validator("scenarios", mode="before")(list_as_tuple)

    def pieces(self) -> list[Piece]:
        found = []
        for scenario in self.scenarios:
            line_up, seeds = line_up_of(ENV_ID, scenario), self._seeds(scenario)
            names = [*line_up.policies, *(name for name in line_up.bounds if name == "informed")]
            if cached_optima(scenario, seeds) is None:
                names.append(line_up.optimum)
            found += [episode_piece(name, ENV_ID, scenario, seeds) for name in names]
        return found

    def page(self, values: Sequence[Any]) -> Page:
        sections = []
        for scenario in self.scenarios:
            optima = cached_optima(scenario, self._seeds(scenario))
            groups = rows_by_policy(self.pieces(), values, scenario=scenario)
            sections.append(section(scenario_table(scenario, groups, optima)))
        return Page({("docs/reports/scenarios.md", self.name): "\n\n".join(sections)})

    def _seeds(self, scenario: str) -> range:
        """The first held-out episodes; where optima of fewer are there, those."""
        return held_out_seeds(min(self.episodes, cached_episodes(scenario) or self.episodes))


@dataclass(frozen=True)
class Line:
    """A scheduler in a scenario: its cost, and paired with the optimum and with JESA, in percent of their means."""

    policy: str
    cost: Interval
    above_optimum: Interval
    above_jesa: Interval
    relevance: float
    outages: float
    energy_mj: float


@dataclass(frozen=True)
class ScenarioTable:
    """A scenario's lines by rising cost, its optimum's name and mean cost, and the number of episodes.

    Where the channel is not known, also the bound for schedulers that do not know it, and how far the strongest
    scheduler's mean cost is above that bound's, in percent of it.
    """

    scenario: str
    optimum: str
    optimal_cost: Interval
    lines: list[Line]
    episodes: int
    informed_cost: Interval | None = None
    above_informed: Interval | None = None

    @property
    def strongest(self) -> Line:
        return self.lines[0]


def scenario_table(scenario: str, groups: Mapping[str, Sequence[Row]], optima: Sequence[Row] | None) -> ScenarioTable:
    """Every scheduler beside the optimum.

    Args:
        groups: rows by policy and bound, on the same episodes.
        optima: the optimum's, where they are not among the groups.

    Raises:
        RuntimeError: if a scheduler undercuts the optimum.
    """
    line_up = line_up_of(ENV_ID, scenario)
    optimal = column(optima or groups[line_up.optimum], "cost")
    costs = {name: column(rows, "cost") for name, rows in groups.items()}
    lines = []
    for name in line_up.policies:
        if (costs[name] < optimal * (1 - _TOLERANCE)).any():
            raise RuntimeError(f"{scenario}: {name} undercuts {line_up.optimum}, which cannot be a bound")
        mean = {key: float(column(groups[name], key).mean()) for key in ("relevance", "outages", "energy_per_state_mJ")}
        lines.append(
            Line(
                name,
                Interval.of(costs[name]),
                _above(costs[name], optimal),
                _above(costs[name], costs["JESA"]),
                mean["relevance"],
                mean["outages"],
                mean["energy_per_state_mJ"],
            )
        )
    lines.sort(key=lambda line: line.cost.mean)
    informed = costs.get("informed")
    return ScenarioTable(
        scenario,
        line_up.optimum,
        Interval.of(optimal),
        lines,
        len(optimal),
        None if informed is None else Interval.of(informed),
        None if informed is None else _above(costs[lines[0].policy], informed),
    )


def _above(values: np.ndarray, base: np.ndarray) -> Interval:
    return percent_change(values, base, unit=float(base.mean()))


def verdict(table: ScenarioTable) -> str:
    """How the strongest scheduler stands, in words."""
    best = table.strongest
    gap, gain = best.above_optimum, best.above_jesa
    words = (
        f"Strongest analytic scheduler: `{best.policy}`, {gap:.1f} % above {table.optimum} and {gain * -1:.1f} % below "
        "JESA."
    )
    if table.above_informed is not None:
        words += (
            f" It is {table.above_informed:.1f} % above `informed`, which no scheduler that sees the present "
            "observation alone can undercut on average: more room than that there is not."
        )
    elif gap.mean < 10:
        words += f" No scheduler can be more than {gap.mean:.1f} % better."
    return words


def section(table: ScenarioTable) -> str:
    """Heading, verdict, table and tuned parameters."""
    config = named_scenario(table.scenario)
    body: list[list[str]] = [[table.optimum, f"{table.optimal_cost:.4f}", "", "", "", "", ""]]
    if table.informed_cost is not None:
        above = 100 * (table.informed_cost.mean / table.optimal_cost.mean - 1)
        body.append(["informed", f"{table.informed_cost:.4f}", f"{above:.1f}", "", "", "", ""])
    body += [
        [
            line.policy,
            f"{line.cost:.4f}",
            f"{line.above_optimum:.1f}",
            "" if line.policy == "JESA" else f"{line.above_jesa:+.1f}",
            f"{line.relevance:.3f}",
            f"{line.energy_mj:.3f}",
            f"{line.outages:.2f}",
        ]
        for line in table.lines
    ]
    headings = [
        "scheduler",
        "cost",
        f"% above {table.optimum}",
        "% above JESA",
        "relevance",
        "energy per hidden state [mJ]",
        "outages per round",
    ]
    found = json.loads(TUNED.read_text()).get(table.scenario, {}) if TUNED.is_file() else {}
    parameters = "; ".join(
        f"`{name}` {', '.join(f'{key} = {value:g}' for key, value in result['parameters'].items())} ({_stages(result)})"
        for name, result in found.items()
    )
    tuned = f"\n\nTuned: {parameters}." if parameters else ""
    size = (
        f"K = {config.num_experts}, N = {config.num_states}, M = {config.num_subcarriers}, L = {config.num_layers}; "
        f"channel `{kind_of(config.channel)}`; {table.episodes} episodes"
    )
    return (
        f"## `{table.scenario}`\n\n{HARDNESS[table.scenario]} {size}.\n\n{verdict(table)}\n\n"
        f"{markdown_table(headings, body)}{tuned}"
    )


def _stages(result: Mapping[str, Any]) -> str:
    stages = zip(result["candidates"], result["episodes_per_candidate"], strict=True)
    return ", then ".join(f"{candidates} candidates on {episodes} episodes" for candidates, episodes in stages)

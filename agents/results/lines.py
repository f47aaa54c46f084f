"""The lines of a setting's table: every scheduler beside the bound and the strongest analytic scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from agents.results.setting import Setting
from agents.results.store import METRICS
from dmoe_gym.evaluation import (
    Interval,
    Row,
    by_policy,
    interquartile_mean,
    paired_difference,
    probability_of_improvement,
    seed_matrix,
    two_way_mean,
)

# What a cost may stay under its bound by rounding.
TOLERANCE = 1e-5
Kind = Literal["bound", "analytic", "learned"]


@dataclass(frozen=True)
class Line:
    """One scheduler or bound.

    Fields:
        name, kind: what it is; random is analytic.
        costs: (S, E), one row where nothing is trained.
        seeds: of training; 0 where nothing is trained.
        cost: mean and interval over seeds and episodes.
        interquartile: interquartile mean over seeds of their mean costs.
        gap: cost over the bound's, minus one [%].
        difference: to the strongest analytic scheduler, paired, in percent of its mean; None for itself and bounds.
        improvement: probability of costing less than it; None likewise.
        means: of the other metrics.
    """

    name: str
    kind: Kind
    costs: np.ndarray
    seeds: int
    cost: Interval
    interquartile: float
    gap: Interval
    difference: Interval | None
    improvement: Interval | None
    means: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """A setting's lines by rising cost.

    Fields:
        setting: what they are compared on.
        lines: bounds first, then schedulers by rising mean cost.
        strongest: the analytic scheduler of least mean cost on these episodes, which is chosen in its favour.
        bound: the line of the optimum or bound.
        episodes: how many.
        missing: learned rows that are not there, and why.
    """

    setting: Setting
    lines: list[Line]
    strongest: Line
    bound: Line
    episodes: int
    missing: Mapping[str, str] = field(default_factory=dict)

    def line(self, name: str) -> Line:
        """The line of that name."""
        return next(line for line in self.lines if line.name == name)

    @property
    def learned(self) -> list[Line]:
        """The trained schedulers, best first."""
        return [line for line in self.lines if line.kind == "learned"]

    def score(self, costs: np.ndarray) -> np.ndarray:
        """0 for the random scheduler's mean cost, 1 for the bound's."""
        worst, best = self.line(self.setting.lineup.random).cost.mean, self.bound.cost.mean
        return (worst - costs) / (worst - best)


def compare_setting(
    setting: Setting,
    analytic: Sequence[Row],
    learned: Mapping[str, Sequence[Row]],
    seeds: Mapping[str, Sequence[int]],
    missing: Mapping[str, str],
) -> Comparison:
    """Compare everything on the episodes that all have.

    Args:
        setting: whose rows these are.
        analytic: of schedulers and bounds.
        learned: rows by recipe.
        seeds: the training seeds that each recipe states.
        missing: recipes without rows, and why.

    Raises:
        ValueError: if no episode is shared, a stated seed is missing, or somebody undercuts the bound.
    """
    lineup = setting.lineup
    groups = by_policy(analytic)
    shared = set.intersection(
        *({row["seed"] for row in rows} for rows in groups.values()),
        *({row["seed"] for row in rows} for rows in learned.values()),
    )
    if not shared:
        raise ValueError(f"{setting.title}: its schedulers share no held-out episode")

    def on_shared(rows: Sequence[Row]) -> list[Row]:
        return [{"run_seed": 0, **row} for row in rows if row["seed"] in shared]

    rows_of = {name: on_shared(rows) for name, rows in {**groups, **learned}.items()}
    stated = {name: list(seeds[name]) if name in learned else [0] for name in rows_of}
    costs = {name: seed_matrix(rows, "cost", stated[name], name) for name, rows in rows_of.items()}
    bound = costs[lineup.optimum]
    for name, values in costs.items():
        if name not in lineup.bounds and (values < bound - TOLERANCE * np.abs(bound)).any():
            raise ValueError(f"{setting.title}: {name} undercuts {lineup.optimum}, which cannot be a bound then")
    analytic_names = [name for name in groups if name not in lineup.bounds]
    strongest = min(analytic_names, key=lambda name: costs[name].mean())

    def line(name: str) -> Line:
        values, rows = costs[name], rows_of[name]
        compared = name not in (*lineup.bounds, strongest)
        difference = paired_difference(values, costs[strongest][0]) if compared else None
        means = {metric: float(np.mean([row[metric] for row in rows])) for metric in METRICS if metric in rows[0]}
        return Line(
            name=name,
            kind="learned" if name in learned else "bound" if name in lineup.bounds else "analytic",
            costs=values,
            seeds=len(values) if name in learned else 0,
            cost=two_way_mean(values),
            interquartile=float(interquartile_mean(values.mean(1))),
            gap=percent(paired_difference(values, bound[0]), bound.mean()),
            difference=percent(difference, costs[strongest].mean()) if difference else None,
            improvement=probability_of_improvement(values, costs[strongest]) if compared else None,
            means=means,
        )

    lines = sorted(map(line, rows_of), key=lambda entry: (entry.kind != "bound", entry.cost.mean))
    named = {entry.name: entry for entry in lines}
    return Comparison(setting, lines, named[strongest], named[lineup.optimum], len(shared), missing)


def percent(interval: Interval, unit: float) -> Interval:
    """An interval in percent of a number."""
    return Interval(*(100 * value / unit for value in (interval.mean, interval.low, interval.high)))

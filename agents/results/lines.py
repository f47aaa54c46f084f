"""The lines of a setting's table: every scheduler beside the bound and the strongest analytic scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from agents.results.setting import Setting
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
        episodes: how many its cost is of.
        seeds: of training; 0 where nothing is trained.
        cost: mean and interval over seeds and episodes.
        interquartile: interquartile mean over seeds of their mean costs.
        on_bound: (S, E') costs on the episodes that the bound has.
        bound: (E',) the bound's costs there.
        gap: cost over the bound's there, minus one [%]; None for bounds and where no episode is left.
        difference: to the strongest analytic scheduler, paired, in percent of its mean; None for itself.
        improvement: probability of costing less than it; None for itself and bounds.
        means: of the other metrics.
    """

    name: str
    kind: Kind
    episodes: int
    seeds: int
    cost: Interval
    interquartile: float
    on_bound: np.ndarray
    bound: np.ndarray
    gap: Interval | None
    difference: Interval | None
    improvement: Interval | None
    means: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """A setting's lines by rising cost.

    Fields:
        setting: what they are compared on.
        lines: bounds first, then schedulers by rising mean cost.
        strongest: the analytic scheduler of least mean cost on held-out episodes, which is chosen in its favour.
        bound: the line of the optimum or bound.
        missing: learned rows that are not there, and why.
    """

    setting: Setting
    lines: list[Line]
    strongest: Line
    bound: Line
    missing: Mapping[str, str] = field(default_factory=dict)

    def line(self, name: str) -> Line:
        """The line of that name."""
        return next(line for line in self.lines if line.name == name)

    @property
    def learned(self) -> list[Line]:
        """The trained schedulers, best first."""
        return [line for line in self.lines if line.kind == "learned"]

    def score(self, line: Line) -> np.ndarray:
        """(S,) 0 for the random scheduler's mean cost, 1 for the bound's; on the bound's episodes."""
        worst, best = self.line(self.setting.line_up.random).on_bound.mean(), self.bound.on_bound.mean()
        return (worst - line.on_bound.mean(1)) / (worst - best)


class _Costs:
    """Rows of every scheduler by name, looked up by episodes."""

    def __init__(self, groups: Mapping[str, Sequence[Row]], stated: Mapping[str, Sequence[int]]) -> None:
        self._groups = {name: [{"run_seed": 0, **row} for row in rows] for name, rows in groups.items()}
        self._stated = stated
        self.episodes = {name: {row["seed"] for row in rows} for name, rows in groups.items()}

    def rows(self, name: str, episodes: set[int]) -> list[Row]:
        return [row for row in self._groups[name] if row["seed"] in episodes]

    def matrix(self, name: str, episodes: set[int]) -> np.ndarray:
        """(S, E) in the order of rising episodes; one seed where nothing is trained."""
        stated = self._stated.get(name, (0,))
        if not episodes:
            return np.empty((len(stated), 0))
        return seed_matrix(self.rows(name, episodes), "cost", stated, name)


def compare_setting(
    setting: Setting,
    analytic: Sequence[Row],
    learned: Mapping[str, Sequence[Row]],
    seeds: Mapping[str, Sequence[int]],
    missing: Mapping[str, str],
) -> Comparison:
    """Compare everything on the episodes that it shares with what it is compared to.

    Args:
        setting: whose rows these are.
        analytic: of schedulers and bounds.
        learned: rows by recipe.
        seeds: the training seeds that each recipe states.
        missing: recipes without rows, and why.

    Raises:
        ValueError: if no episode is shared, a stated seed is missing, or somebody undercuts the bound of a round.
    """
    line_up, metrics = setting.line_up, [metric.name for metric in setting.system.metrics]
    groups = by_policy(analytic)
    if line_up.optimum not in groups:
        raise ValueError(f"{setting.title}: rows of {line_up.optimum} are missing")
    costs = _Costs({**groups, **learned}, seeds)
    policies = [name for name in groups if name not in line_up.bounds]
    common = set.intersection(*(costs.episodes[name] for name in policies))
    strongest = min(policies, key=lambda name: costs.matrix(name, common).mean())
    main = set.intersection(costs.episodes[strongest], *(costs.episodes[name] for name in learned))

    def line(name: str) -> Line:
        own = costs.episodes[name] & main
        if not own:
            raise ValueError(f"{setting.title}: {name} and the others share no held-out episode")
        bounded = own & costs.episodes[line_up.optimum]
        values, reference = costs.matrix(name, own), costs.matrix(strongest, own)[0]
        on_bound, bound = costs.matrix(name, bounded), costs.matrix(line_up.optimum, bounded)[0]
        is_bound = name in line_up.bounds
        if not is_bound and (on_bound < bound - TOLERANCE * np.abs(bound)).any():
            raise ValueError(f"{setting.title}: {name} undercuts {line_up.optimum}, which cannot be a bound then")
        gap = percent(paired_difference(on_bound, bound), bound.mean()) if bounded and not is_bound else None
        difference = percent(paired_difference(values, reference), reference.mean()) if name != strongest else None
        rows = costs.rows(name, own)
        return Line(
            name=name,
            kind="learned" if name in learned else "bound" if is_bound else "analytic",
            episodes=len(own),
            seeds=len(values) if name in learned else 0,
            cost=two_way_mean(values),
            interquartile=float(interquartile_mean(values.mean(1))),
            on_bound=on_bound,
            bound=bound,
            gap=gap,
            difference=difference,
            improvement=None if is_bound or difference is None else probability_of_improvement(values, reference),
            means={name: float(np.mean([row[name] for row in rows])) for name in metrics if name in rows[0]},
        )

    lines = sorted(map(line, costs.episodes), key=lambda entry: (entry.kind != "bound", entry.cost.mean))
    named = {entry.name: entry for entry in lines}
    return Comparison(setting, lines, named[strongest], named[line_up.optimum], missing)


def percent(interval: Interval, unit: float) -> Interval:
    """An interval in percent of a number."""
    return Interval(*(100 * value / unit for value in (interval.mean, interval.low, interval.high)))

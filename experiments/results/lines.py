"""The lines of a setting's table: every scheduler beside the bound and the strongest analytic scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from dmoe_gym.evaluation import Interval, Row, paired_difference, seed_matrix, two_way_mean
from experiments.results.setting import Setting

# What a cost may stay under its bound by rounding.
TOLERANCE = 1e-5
Kind = Literal["bound", "analytic", "learned"]


@dataclass(frozen=True)
class Line:
    """One scheduler or bound.

    Attributes:
        name, kind: what it is; random is analytic.
        episodes: how many its cost is of.
        seeds: of training; 0 where nothing is trained.
        cost: mean and interval over seeds and episodes.
        gap: cost over the bound's on the episodes that the bound has, minus one [%]; None for bounds and where there
            is no such episode.
        difference: to the strongest analytic scheduler, paired, in percent of its mean; None for itself.
    """

    name: str
    kind: Kind
    episodes: int
    seeds: int
    cost: Interval
    gap: Interval | None
    difference: Interval | None


@dataclass(frozen=True)
class Comparison:
    """A setting's lines.

    Attributes:
        setting: what they are compared on.
        lines: bounds first, then schedulers by rising mean cost.
        strongest: the analytic scheduler of least mean cost on validation episodes.
        bound: the line that gaps are read against: `informed` where there is one, else the optimum.
        validated: was the strongest chosen on validation episodes? Else on held-out ones, in its favour.
        missing: learned rows that are not there, and why.
    """

    setting: Setting
    lines: list[Line]
    strongest: Line
    bound: Line
    validated: bool
    missing: Mapping[str, str] = field(default_factory=dict)

    def line(self, name: str) -> Line:
        """The line of that name."""
        return next(line for line in self.lines if line.name == name)

    @property
    def learned(self) -> list[Line]:
        """The trained schedulers, best first."""
        return [line for line in self.lines if line.kind == "learned"]

    @property
    def kind_of_bound(self) -> str:
        """Exact, clairvoyant or informed: what the bound looks at."""
        bound = self.setting.system.bounds.get(self.bound.name)
        return bound.kind if bound is not None else "exact"


def compare_setting(
    setting: Setting,
    analytic: Mapping[str, Sequence[Row]],
    learned: Mapping[str, Sequence[Row]],
    seeds: Mapping[str, Sequence[int]],
    missing: Mapping[str, str],
    validation: Mapping[str, float],
) -> Comparison:
    """Compare everything on the episodes that it shares with what it is compared to.

    Args:
        setting: whose rows these are.
        analytic: rows of schedulers and bounds by name; learned: rows by recipe.
        seeds: the training seeds that each recipe states.
        missing: recipes without rows, and why.
        validation: mean costs of analytic schedulers on validation episodes; may be empty.

    Raises:
        ValueError: if no episode is shared, a stated seed is missing, or somebody undercuts the bound of a round.
    """
    line_up = setting.line_up
    if line_up.optimum not in analytic:
        raise ValueError(f"{setting.title}: rows of {line_up.optimum} are missing")
    costs = _Costs({**analytic, **learned}, seeds)
    policies = [name for name in analytic if name not in setting.system.bounds]
    common = set.intersection(*(costs.episodes[name] for name in policies))
    validated = set(policies) <= set(validation)
    chosen_by = validation if validated else {name: costs.matrix(name, common).mean() for name in policies}
    strongest = min(policies, key=lambda name: chosen_by[name])
    read_against = "informed" if "informed" in analytic else line_up.optimum
    main = set.intersection(costs.episodes[strongest], *(costs.episodes[name] for name in learned))

    def line(name: str) -> Line:
        own = costs.episodes[name] & main
        if not own:
            raise ValueError(f"{setting.title}: {name} and the others share no held-out episode")
        is_bound = name in setting.system.bounds
        under = own & costs.episodes[line_up.optimum]
        if not is_bound:
            optimal = costs.matrix(line_up.optimum, under)[0] if under else np.empty(0)
            if (costs.matrix(name, under) < optimal - TOLERANCE * np.abs(optimal)).any():
                raise ValueError(f"{setting.title}: {name} undercuts {line_up.optimum}, which cannot be a bound then")
        bounded = own & costs.episodes[read_against]
        return Line(
            name=name,
            kind="learned" if name in learned else "bound" if is_bound else "analytic",
            episodes=len(own),
            seeds=len(seeds[name]) if name in learned else 0,
            cost=two_way_mean(costs.matrix(name, own)),
            gap=costs.above(name, read_against, bounded) if bounded and not is_bound else None,
            difference=costs.above(name, strongest, own) if name != strongest else None,
        )

    lines = sorted(map(line, costs.episodes), key=lambda entry: (entry.kind != "bound", entry.cost.mean))
    named = {entry.name: entry for entry in lines}
    return Comparison(setting, lines, named[strongest], named[read_against], validated, missing)


class _Costs:
    """Rows of every scheduler by name, looked up by episodes."""

    def __init__(self, groups: Mapping[str, Sequence[Row]], stated: Mapping[str, Sequence[int]]) -> None:
        self._groups = {name: [{"run_seed": 0, **row} for row in rows] for name, rows in groups.items()}
        self._stated = stated
        self.episodes = {name: {row["seed"] for row in rows} for name, rows in groups.items()}

    def matrix(self, name: str, episodes: set[int]) -> np.ndarray:
        """(S, E) in the order of rising episodes; one seed where nothing is trained."""
        stated = self._stated.get(name, (0,))
        if not episodes:
            return np.empty((len(stated), 0))
        rows = [row for row in self._groups[name] if row["seed"] in episodes]
        return seed_matrix(rows, "cost", stated, name)

    def above(self, name: str, reference: str, episodes: set[int]) -> Interval:
        """Paired difference to a scheduler that is not trained, in percent of its mean."""
        base = self.matrix(reference, episodes)[0]
        return paired_difference(self.matrix(name, episodes), base) * (100 / base.mean())

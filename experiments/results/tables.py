"""The tables of docs/results.md and of the README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from agents.config import TrainingConfig
from dmoe_gym.evaluation import Interval, Row, paired_percent, seed_matrix, two_way_mean
from dmoe_gym.evaluation.table import markdown_table
from experiments.results.store import Setting

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
        return paired_percent(self.matrix(name, episodes), base)


Times = Mapping[str, Mapping[str, float]]
# Analytic schedulers that a setting's table names beside the strongest, the reference and random.
SHOWN = 3
# Scenarios in the README.
PLAIN = ("small", "paper", "battery", "testbed", "analog")
LEAD = (
    "scenario", "learner", "recipe", "seeds", "steps", "minutes of one core", "cost",
    "to the strongest analytic [%]", "strongest analytic", "to the bound [%]", "bound",
)  # fmt: skip


@dataclass(frozen=True)
class Training:
    """How a recipe's row was learned.

    Attributes:
        algorithm: the learner's name in recipes; recurrent, imitation and the network's kind are said where used.
        steps: environment steps of one run.
        minutes: of one core, mean over the runs that say it; None if none does.
        commits: at which runs were made, and which of those were not clean or not known.
    """

    algorithm: str
    steps: int
    minutes: float | None
    commits: tuple[str, ...]

    @classmethod
    def of(cls, config: TrainingConfig, runs: Mapping[str, Mapping[str, Any]]) -> Training:
        """From a recipe and the provenance of its runs."""
        known = [run["cpu_seconds"] / 60 for run in runs.values() if "cpu_seconds" in run]
        kind = getattr(config.network, "kind", "")
        extras = [kind] * bool(kind) + ["imitation first"] * (config.imitation is not None)
        extras += [f"{config.history} observations"] * (config.history > 1)
        name = config.algorithm.replace("_", " ").upper() + (f" ({', '.join(extras)})" if extras else "")
        commits = sorted({_commit(run) for run in runs.values()})
        minutes = sum(known) / len(known) if known else None
        return cls(name, config.total_timesteps, minutes, tuple(commits))


def _commit(run: Mapping[str, Any]) -> str:
    commit = str(run.get("git_commit", "unknown"))
    if commit == "unknown":
        return "an unknown commit"
    return commit[:7] + (" with changes" if run.get("git_dirty") else "")


def lead_table(comparisons: Sequence[Comparison], trainings: Mapping[str, Training]) -> str:
    """A line per learned row; a scenario without says so.

    Args:
        trainings: by recipe.
    """
    body = []
    for comparison in comparisons:
        scenario = f"`{comparison.setting.title}`"
        strongest, bound = f"`{comparison.strongest.name}`", f"{comparison.bound.name} ({comparison.kind_of_bound})"
        for line in comparison.learned:
            training = trainings[line.name]
            minutes = "–" if training.minutes is None else f"{training.minutes:.1f}"
            figures = [f"{line.cost:.4f}", _interval(line.difference, "+.2f"), strongest, _interval(line.gap, ".1f")]
            told = [training.algorithm, f"`{line.name}`", str(line.seeds), f"{training.steps:,}", minutes]
            body.append([scenario, *told, *figures, bound])
        if not comparison.learned:
            empty = [""] * (len(LEAD) - 5)
            gap = _interval(comparison.strongest.gap, ".1f")
            body.append([scenario, "none yet", *empty, strongest, f"{gap} of the strongest analytic", bound])
    return markdown_table(LEAD, body)


def plain_table(comparisons: Sequence[Comparison]) -> str:
    """The README's: of a few scenarios, costs in percent of the line-up's reference."""
    body = []
    for comparison in comparisons:
        if comparison.setting.title in PLAIN:
            told = [f"{name} {100 * share:.1f}" for name, share in shares(comparison).values()]
            body.append([f"`{comparison.setting.title}`", *told, *["none yet"] * (not comparison.learned)])
    return markdown_table(["scenario", "bound", "reference", "strongest analytic", "learned"], body)


def shares(comparison: Comparison) -> dict[str, tuple[str, float]]:
    """Names and costs of the bound, the reference, the strongest analytic and the best learned scheduler, by role.

    Costs are shares of the reference's, through the bound that both share episodes with.
    """
    reference = comparison.line(comparison.setting.line_up.reference)
    lines = {"reference": reference, "strongest": comparison.strongest}
    if comparison.learned:
        lines["learned"] = comparison.learned[0]
    unit = 100 + (reference.gap.mean if reference.gap else 0.0)
    found = {"bound": (comparison.bound.name, 100 / unit)}
    return found | {role: (line.name, (100 + line.gap.mean) / unit) for role, line in lines.items() if line.gap}


def setting_section(comparison: Comparison, times: Times) -> str:
    """A setting's heading, verdict and table: bounds, learned rows, the best analytic ones, reference and random."""
    strongest, line_up = comparison.strongest, comparison.setting.line_up
    clock = times.get(comparison.setting.title, {})
    analytic = [line.name for line in comparison.lines if line.kind == "analytic"]
    shown = {*analytic[:SHOWN], strongest.name, line_up.reference, line_up.random}
    headings = [
        "scheduler", "seeds", "episodes", "cost", f"to {comparison.bound.name} [%]", f"to {strongest.name} [%]",
        "ms per decision",
    ]  # fmt: skip
    body = []
    for line in comparison.lines:
        if line.kind == "analytic" and line.name not in shown:
            continue
        milliseconds = clock.get(line.name)
        body.append(
            [
                f"*{line.name}*" if line.kind == "learned" else line.name,
                str(line.seeds) if line.seeds else "",
                str(line.episodes),
                f"{line.cost:.4f}",
                _interval(line.gap, ".1f", ""),
                _interval(line.difference, "+.2f", ""),
                "–" if milliseconds is None else f"{milliseconds:.2g}",
            ]
        )
    words = [verdict(comparison), *(f"Missing: `{name}` ({why})." for name, why in comparison.missing.items())]
    system = comparison.setting.system
    if system.page:
        words.append(f"More: [{system.name}]({system.page}).")
    return f"### `{comparison.setting.title}`\n\n" + "\n".join(words) + f"\n\n{markdown_table(headings, body)}"


def verdict(comparison: Comparison) -> str:
    """How the best learned scheduler stands to the strongest analytic one, in a sentence."""
    strongest = comparison.strongest
    chosen = "" if comparison.validated else " (chosen on held-out episodes, in its favour)"
    room = f"`{strongest.name}` is the strongest analytic scheduler{chosen}"
    room += f", {strongest.gap:.2f} % above {comparison.bound.name}." if strongest.gap else "."
    if not comparison.learned:
        return room
    best = comparison.learned[0]
    if best.difference is None:
        return room
    word = {-1: "below it", 1: "above it", 0: "not told apart from it"}[best.difference.sign]
    told = f"{room} `{best.name}` is {word}"
    if best.difference.sign:
        size = best.difference * best.difference.sign
        told += f" by {size:.2f} %"
    return f"{told} ({best.seeds} seeds)."


def made_table(comparisons: Sequence[Comparison], trainings: Mapping[str, Training]) -> str:
    """At which commits the learned rows were made; rows of a checkout with changes or of an unknown commit say so."""
    lines: list[Line] = [line for comparison in comparisons for line in comparison.learned]
    body = [[f"`{line.name}`", str(line.seeds), ", ".join(trainings[line.name].commits)] for line in lines]
    return markdown_table(["recipe in `configs/`", "seeds", "made at"], body)


def _interval(interval: Interval | None, spec: str, without: str = "–") -> str:
    return without if interval is None else format(interval, spec)

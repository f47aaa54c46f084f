"""Energy against shortfall: the exact front, JESA's over thresholds and importance factors, and a learned one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from pydantic import Field

from agents.config import load_config
from agents.learners import as_policy, trained
from dmoe_gym.dmoe import Round, Schedule, solve_exact, solve_jesa, terms
from dmoe_gym.dmoe import scenario as named_scenario
from dmoe_gym.dmoe.solvers.exact import solve_within
from dmoe_gym.evaluation import evaluate, held_out_seeds
from dmoe_gym.evaluation.statistics import column
from dmoe_gym.evaluation.table import markdown_table
from dmoe_gym.registration import create_core
from experiments.page import BLACK, BLUE, GREY, VERMILION, Page
from experiments.runner import Experiment, Piece

ENV_ID, RESIDUAL, SCENARIO = "DMoE-JESA-v0", "DMoE-JESA-Residual-v0", "small"
PAGE, PICTURE = "docs/multi_objective.md", "docs/images/fronts.png"
# What a unit of mean shortfall costs, in E_ref: the second weight of `mo-DMoE-JESA-v0`, from worthless to the system's.
WEIGHTS = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0)
LEARNED_WEIGHTS = (1.0, 2.0, 3.0, 5.0)
LIMITS = (0.0, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3)
THRESHOLDS = (0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
FACTORS = (1.0, 0.9, 0.8)
# (energy over E_ref, mean shortfall), means over rounds
Point = tuple[float, float]


class Fronts(Experiment):
    """Points of every kind on the same held-out episodes of `small`.

    Attributes:
        episodes: held out.
        steps: of every learned point; seed: of its training.
    """

    name: ClassVar[str] = "fronts"
    about: ClassVar[str] = "energy against shortfall: exact, JESA's and learned fronts, and what they cover"
    places: ClassVar[tuple[str, ...]] = (PAGE, PICTURE)

    episodes: Annotated[int, Field(ge=1)] = 20
    steps: Annotated[int, Field(ge=1)] = 32_768
    seed: Annotated[int, Field(ge=0)] = 0

    def pieces(self) -> list[Piece]:
        of = {"episodes": self.episodes}
        learned = [
            Piece(learned_point, {"weight": weight, "steps": self.steps, "seed": self.seed, **of})
            for weight in LEARNED_WEIGHTS
        ]
        return [
            Piece(weighted_points, of),
            Piece(constrained_points, of),
            *(Piece(jesa_points, {"factor": factor, **of}) for factor in FACTORS),
            *learned,
        ]

    def page(self, values: Sequence[Any]) -> Page:
        weighted, constrained, *others = values
        jesa = [point for points in others[: len(FACTORS)] for point in points]
        kinds: dict[str, list[Point]] = {
            "exact, a weight for every point": weighted,
            "exact, a limit on every round's shortfall": constrained,
            "JESA over z and gamma": jesa,
            "PPO, a policy for every weight": others[len(FACTORS) :],
        }
        corner = worst([point for points in kinds.values() for point in points])
        most = hypervolume(weighted, corner)
        body = [
            [name, str(len(points)), str(len(front(points))), f"{100 * hypervolume(points, corner) / most:.1f}"]
            for name, points in kinds.items()
        ]
        headings = ["front", "points", "not dominated by another of them", "hypervolume [% of the first]"]
        text = (
            f"Scenario `{SCENARIO}`, {self.episodes} held-out episodes; hypervolume up to the worst point, energy "
            f"{corner[0]:.3f} E_ref and shortfall {corner[1]:.3f}:"
        )
        section = f"{text}\n\n{markdown_table(headings, body)}\n\n![Fronts](images/fronts.png)"
        return Page({(PAGE, self.name): section}, {PICTURE: draw(kinds)})


def worst(points: Sequence[Point]) -> Point:
    """The corner that no point is beyond in either."""
    return max(point[0] for point in points), max(point[1] for point in points)


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other is as good as in both and better in one, by rising first entry."""
    kept: list[Point] = []
    for point in sorted(points):
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return kept


def hypervolume(points: Sequence[Point], corner: Point) -> float:
    """The area that points dominate below a corner, both entries to be small."""
    area, last = 0.0, corner[1]
    for first, second in front(points):
        if first < corner[0] and second < last:
            area += (corner[0] - first) * (last - second)
            last = second
    return area


def rounds_of(episodes: int) -> Iterator[Round]:
    """All rounds of the first held-out episodes."""
    for seed in held_out_seeds(episodes):
        core = create_core(ENV_ID, 1, SCENARIO, {})
        core.seed([0], [(seed, 0)])
        core.start(core.all_rows)
        while not core.terminated[0]:
            yield core.round(0)
            core.skip_round(core.all_rows)


def mean_point(rounds: Sequence[Round], schedules: Sequence[Schedule]) -> Point:
    """What schedules of rounds come to, by the system's own threshold."""
    told = [terms(round, schedule) for round, schedule in zip(rounds, schedules, strict=True)]
    reference = rounds[0].config.reference_energy_j
    return float(np.mean([one.energy.total / reference for one in told])), float(
        np.mean([one.shortfall for one in told])
    )


def weighted_points(episodes: int) -> list[Point]:
    """The optimum of every weight: corners of the front of whole episodes."""
    rounds = list(rounds_of(episodes))
    points = []
    for weight in WEIGHTS:
        priced = [
            Round(one.gate_scores, one.gains, one.threshold, one.config.replace(shortfall_price=weight))
            for one in rounds
        ]
        points.append(mean_point(rounds, [solve_exact(one) for one in priced]))
    return points


def constrained_points(episodes: int) -> list[Point]:
    """The epsilon-constraint front of single rounds: least energy under a limit on every round's shortfall."""
    rounds = list(rounds_of(episodes))
    return [mean_point(rounds, [solve_within(one, limit) for one in rounds]) for limit in LIMITS]


def jesa_points(factor: float, episodes: int) -> list[Point]:
    """JESA at thresholds z factor^l, layer by layer."""
    rounds = list(rounds_of(episodes))
    layers = rounds[0].config.num_layers
    points = []
    for z in THRESHOLDS:
        asked = [
            Round(one.gate_scores, one.gains, z * factor ** (place % layers + 1), one.config)
            for place, one in enumerate(rounds)
        ]
        points.append(mean_point(rounds, [solve_jesa(one) for one in asked]))
    return points


def learned_point(weight: float, steps: int, seed: int, episodes: int) -> Point:
    """PPO of `residual_ppo_small` in the environment whose shortfall has this price."""
    recipe = load_config(Path("configs/residual_ppo_small.yaml"))
    recipe = recipe.replace(overrides={**recipe.overrides, "shortfall_price": weight}, total_timesteps=steps)
    seeds = held_out_seeds(episodes)
    rows = evaluate(as_policy(trained(recipe, seed)), RESIDUAL, scenario=SCENARIO, seeds=seeds, **recipe.overrides)
    reference = named_scenario(SCENARIO).reference_energy_j
    joules = column(rows, "energy_communication_J") + column(rows, "energy_computation_J")
    return float(joules.mean() / reference), float(column(rows, "shortfall").mean())


def draw(kinds: dict[str, list[Point]]) -> Figure:
    """All points, fronts of the exact ones joined."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained", dpi=120)
    axes = figure.subplots()
    styles = (("o-", BLACK), ("s--", GREY), (".", BLUE), ("D", VERMILION))
    for (name, points), (style, colour) in zip(kinds.items(), styles, strict=True):
        energy, shortfall = zip(*sorted(points), strict=True)
        axes.plot(energy, shortfall, style, color=colour, label=name, markersize=5)
    axes.set_xlabel("energy [E_ref]")
    axes.set_ylabel("mean shortfall")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure

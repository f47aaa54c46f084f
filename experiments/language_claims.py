"""The abstract's claims on the language model: what validation queries choose is judged on test queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from matplotlib.figure import Figure
from pydantic import Field

from dmoe_gym.dmoe.inference import inference_scenario
from dmoe_gym.evaluation.table import markdown_table
from experiments.answers import Answers, ask, contenders, free_name
from experiments.inference import (
    CLAIMS,
    EQUAL,
    HOMOGENEOUS,
    MARGINS,
    TOP_K,
    Asked,
    Cells,
    Groups,
    Inference,
    at_equal_accuracy,
    compared,
    equal_accuracy_cells,
    equal_energy_cells,
    higher_accuracy,
    lower_energy,
    main_cells,
    most_accurate_as_cheap,
)
from experiments.page import BLACK, BLUE, GREEN, ORANGE, SKY, Page
from experiments.runner import Piece

FLAT, FALLING, FREE = ("homogeneous",), ("JESA",), ("free",)
KINDS = (*FLAT, *FALLING, *FREE)
AT_EQUAL_ACCURACY: Groups = dict.fromkeys(TOP_K, (KINDS,))
AT_EQUAL_ENERGY: Groups = dict.fromkeys(HOMOGENEOUS[::2], (FALLING, FREE))
# what validation queries choose from, of the grid of the experiment `inference`
Z, GAMMA = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9), (1.0, 0.9, 0.8, 0.7)
GRID = tuple(
    name
    for name, one in contenders().items()
    if name in TOP_K
    or (one.overrides and one.overrides["threshold"] in Z and one.overrides["importance_factor"] in GAMMA)
)
# z that one layer at a time tries beside START in all others, and what a point of accuracy may cost [mJ]
START, LEVELS = 0.5, (0.25, 0.5, 0.75)
PRICES = (4.0, 8.0, 16.0, 32.0, 64.0)
# how much energy the abstract says is saved, at most [%]
CLAIMED = 50.0


class LanguageClaims(Inference):
    """Factors that are flat, fall and are free per layer; with answers that travel back, too.

    Attributes:
        scenario: of DMoE-Inference-v0.
        episodes: held out, on test queries, eight answers each.
        validation: on validation queries, for choosing.
    """

    name: ClassVar[str] = "language-claims"
    about: ClassVar[str] = "the abstract's claims where DMoE serves the language model"
    places: ClassVar[tuple[str, ...]] = ("docs/reports/language_claims.md", CLAIMS)

    scenario: Literal["language", "language-scarce", "language-stale"] = "language"
    episodes: Annotated[int, Field(ge=2)] = 2500
    validation: Annotated[int, Field(ge=2)] = 250

    def pieces(self) -> list[Piece]:
        pieces = self._asking("validation", GRID)
        key = {name: value for name, value in pieces[0].key.items() if name not in ("name", "inputs")}
        return [*pieces, Piece(search, key)]

    def further_pieces(self, values: Sequence[Any]) -> list[Piece]:
        chosen_on = self._chosen_on(values)
        returning = self._asking("test", self._returning(chosen_on))
        changed = {"episodes": self.validation, "overrides": {"return_transmission": True}}
        both_ways = [Piece(ask, {**piece.key, **changed}) for piece in returning]
        return [*self._asking("test", self._judged(chosen_on)), *both_ways]

    def page(self, values: Sequence[Any]) -> Page:
        chosen_on = self._chosen_on(values)
        names, returning = self._judged(chosen_on), self._returning(chosen_on)
        rest = values[len(GRID) + 1 :]
        judged_on = dict(zip(names, rest, strict=False))
        both_ways = dict(zip(returning, rest[len(names) :], strict=True))
        answers = next(iter(judged_on.values())).correct.size
        tables = {
            f"Accuracy and energy of {answers} answers to test queries, means and 95 % intervals (over episodes and "
            "queries): what validation queries chose, and what it is compared to": (main_cells(judged_on, judged_on)),
            "At equal accuracy: the cheapest that is as accurate as the reference on "
            "validation queries, less the points allowed; on test queries, paired": (
                equal_accuracy_cells(chosen_on, judged_on, AT_EQUAL_ACCURACY)
            ),
            f"Where do {CLAIMED:g} % hold? The most accurate on validation queries that saves so much there; on test "
            f"queries, paired, equal accuracy being an interval above -{EQUAL:g} point": half_cells(
                chosen_on, judged_on
            ),
            "Homogeneous selection at thresholds that nothing chose, against Top-k; on test queries, paired": (
                fixed_cells(judged_on)
            ),
            "At equal energy: of each kind of factors the most accurate that needs no more energy than the reference "
            "on validation queries; on test queries, paired": (
                equal_energy_cells(chosen_on, judged_on, AT_EQUAL_ENERGY)
            ),
            f"With answers that travel back (`return_transmission=True`, {self.validation} episodes)": (
                return_cells(chosen_on, judged_on, both_ways)
            ),
        }
        text = "\n".join(f"{title}:\n\n{markdown_table(*table)}" for title, table in tables.items())
        claimed = [
            higher_accuracy(chosen_on, judged_on, FALLING, "a factor that falls", list(AT_EQUAL_ENERGY)),
            higher_accuracy(chosen_on, judged_on, FREE, "a factor free per layer", list(AT_EQUAL_ENERGY)),
            *lower_energy(chosen_on, judged_on, KINDS),
        ]
        section = f"{self.scenario}-claims"
        picture = f"docs/images/{self.scenario.replace('-', '_')}_curve.png"
        return Page(
            {(self.places[0], section): text, (CLAIMS, section): "\n".join(claimed)}, {picture: curve(chosen_on)}
        )

    def _chosen_on(self, values: Sequence[Any]) -> Asked:
        return {**dict(zip(GRID, values, strict=False)), **values[len(GRID)]}

    def _judged(self, chosen_on: Asked) -> list[str]:
        chosen = compared(chosen_on, AT_EQUAL_ACCURACY, AT_EQUAL_ENERGY)
        return list(dict.fromkeys([*chosen, *(name for _, name in halves(chosen_on))]))

    def _returning(self, chosen_on: Asked) -> list[str]:
        return list(dict.fromkeys([*TOP_K, *(found for _, found in cheapest(chosen_on))]))


def search(scenario: str, first_seed: int, episodes: int) -> dict[str, Answers]:
    """Thresholds that are free in every layer, and what they answer, on validation queries.

    One layer at a time takes other thresholds than all others have; as if effects of layers added up, every price of
    accuracy then has its best threshold in each layer.
    """

    def asked(thresholds: Iterable[float]) -> Answers:
        return ask(free_name(list(thresholds)), "validation", first_seed, episodes, scenario)

    layers = inference_scenario(scenario).num_layers
    energy, right = np.empty((2, layers, len(LEVELS)))
    start = asked([START] * layers)
    for layer in range(layers):
        for place, level in enumerate(LEVELS):
            others = [START] * layers
            one = start if level == START else asked([*others[:layer], level, *others[layer + 1 :]])
            energy[layer, place], right[layer, place] = one.energy.mean(), 100 * one.accuracy
    best = {tuple((energy - price * right).argmin(1).tolist()) for price in PRICES}
    found = [[LEVELS[place] for place in places] for places in sorted(best)]
    return {free_name(thresholds): asked(thresholds) for thresholds in found}


def cheapest(chosen_on: Asked) -> list[tuple[str, str]]:
    """Every Top-k and the cheapest contender as accurate on validation queries, less the most that may be allowed."""
    found = [(one, at_equal_accuracy(chosen_on, KINDS, one, MARGINS[-1])) for one in TOP_K]
    return [(reference, name) for reference, name in found if name is not None]


def halves(chosen_on: Asked) -> list[tuple[str, str]]:
    """Every Top-k and the most accurate contender on validation queries that saves what the abstract claims."""
    found = []
    for reference in TOP_K:
        most = (1 - CLAIMED / 100) * chosen_on[reference].energy.mean()
        found.append((reference, most_accurate_as_cheap(chosen_on, KINDS, most)))
    return [(reference, name) for reference, name in found if name is not None]


def return_cells(chosen_on: Asked, judged_on: Asked, both_ways: Asked) -> Cells:
    """Headings and cells: what changes where answers travel back."""
    body = []
    for reference, name in cheapest(chosen_on):
        there = judged_on[name].change_from(judged_on[reference])
        back = both_ways[name].change_from(both_ways[reference])
        joules = [asked[reference].energy_interval() for asked in (judged_on, both_ways)]
        cells = [f"{one:.1f}" for one in joules] + [f"{there[1]:+.1f}", f"{back[1]:+.1f}"]
        body.append([name, reference, *cells, f"{there[0]:+.2f}", f"{back[0]:+.2f}"])
    kinds = ("reference's energy [mJ]", "energy [%]", "accuracy [points]")
    return ["scheduler", "reference", *(f"{kind}, {way}" for kind in kinds for way in ("there", "and back"))], body


def half_cells(chosen_on: Asked, judged_on: Asked) -> Cells:
    """Headings and cells: what is lost where energy is half of every Top-k's or less."""
    body = [_against(judged_on, name, reference) for reference, name in halves(chosen_on)]
    return _AGAINST, body


def fixed_cells(judged_on: Asked) -> Cells:
    """Headings and cells: the homogeneous selections that others are compared to, against every Top-k."""
    return _AGAINST, [_against(judged_on, name, reference) for reference in TOP_K for name in AT_EQUAL_ENERGY]


_AGAINST = ["scheduler", "reference", "energy [%]", "accuracy [points]", f"{CLAIMED:g} % less at equal accuracy"]


def _against(judged_on: Asked, name: str, reference: str) -> list[str]:
    accuracy, energy = judged_on[name].change_from(judged_on[reference])
    equal = "yes" if accuracy.low > -EQUAL and energy.high <= -CLAIMED else "no"
    return [name, reference, f"{energy:+.1f}", f"{accuracy:+.2f}", equal]


_COLOURS = dict(zip(GAMMA, (BLACK, BLUE, GREEN, ORANGE), strict=True))


def curve(asked: Mapping[str, Answers]) -> Figure:
    """Change of energy from every Top-k over z, a line per gamma; full where accuracy is within the margin."""
    figure = Figure(figsize=(11, 4.4), layout="constrained", dpi=110)
    for axes, reference in zip(figure.subplots(1, len(TOP_K), sharey=True), TOP_K, strict=True):
        joules, accuracy = asked[reference].energy.mean(), 100 * asked[reference].accuracy
        for gamma, colour in _COLOURS.items():
            family = "homogeneous" if gamma == 1 else "JESA"
            ones = [asked[f"{family} z={z:g} gamma={gamma:g}"] for z in Z]
            energy = np.array([100 * (one.energy.mean() / joules - 1) for one in ones])
            equal = np.array([100 * one.accuracy >= accuracy - EQUAL for one in ones])
            axes.plot(Z, energy, color=colour, lw=1, label=f"gamma = {gamma:g}")
            axes.scatter(np.array(Z)[equal], energy[equal], color=colour, s=28, zorder=3)
            axes.scatter(np.array(Z)[~equal], energy[~equal], facecolor="white", edgecolor=colour, s=28, zorder=3)
        axes.axhline(-CLAIMED, color=SKY, lw=1, ls="--")
        axes.axhline(0, color=BLACK, lw=0.8)
        axes.set_title(f"against {reference}", fontsize=10)
        axes.set_xlabel("z")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("energy on validation queries [%]")
    figure.axes[0].legend(fontsize=8)
    figure.axes[0].set_ylim(-100, 150)
    return figure

"""Accuracy and latency where WDMoE serves a real model: is latency reduced without compromising the answers?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from pydantic import Field

from dmoe_gym.evaluation import FIRST_HELD_OUT_SEED, Interval, held_out_seeds, percent_change
from dmoe_gym.evaluation.table import markdown_table
from dmoe_gym.wdmoe import WDMoEConfig
from dmoe_gym.wdmoe.inference import INFERENCE_SCENARIOS
from dmoe_gym.wdmoe.policies import WLR, Greedy, JointPolicy, Random, Scheduler, TopK
from experiments.answers import Judged, answered
from experiments.page import BLACK, BLUE, GREEN, GREY, ORANGE, Page, error_bars
from experiments.runner import Experiment, Piece

Cells = tuple[list[str], list[list[str]]]
ENV_ID, PAGE = "WDMoE-Inference-Joint-v0", "docs/reports/wdmoe_inference.md"
# Points of accuracy that count as no loss; fixed before the experiment was run.
MARGIN = 1.0
VANILLA = "top-2-equal"
# shares of top-2's relevance that selections must keep; 0.9 is the system's default
SHARES = (0.98, 0.95, 0.9, 0.8, 0.7, 0.6)
_ALONE = {
    VANILLA: ("D", BLACK),
    "top-2-optimal": ("D", BLUE),
    "top-1-optimal": ("v", BLUE),
    "WLR-equal": ("o", GREY),
}
_CURVES = {"WLR-optimal": ("o", ORANGE), "greedy-optimal": ("s", GREEN)}
# what test inputs judge beside the shares that validation inputs choose
JUDGED = (*_ALONE, "random", *_CURVES)


class Contender(NamedTuple):
    """A scheduler under a share of relevance to keep; the family is the name without the share."""

    family: str
    build: Callable[[WDMoEConfig], Scheduler]
    share: float = 0.9


@cache
def contenders() -> dict[str, Contender]:
    """Top-2 and Top-1, WLR and greedy selection over the shares, and random, by name."""
    builds: dict[str, Callable[[WDMoEConfig], Scheduler]] = {
        VANILLA: partial(TopK, bandwidth="equal"),
        "top-2-optimal": TopK,
        "top-1-optimal": partial(TopK, k=1),
        "WLR-equal": partial(WLR, bandwidth="equal"),
        "random": Random,
    }
    found = {name: Contender(name, build) for name, build in builds.items()}
    curves: dict[str, Callable[[WDMoEConfig], Scheduler]] = {"WLR-optimal": WLR, "greedy-optimal": Greedy}
    for family, build in curves.items():
        found |= {named(family, share): Contender(family, build, share) for share in SHARES}
    return found


def named(family: str, share: float) -> str:
    """A contender's name; the default share is not said."""
    return family if share == 0.9 else f"{family} {share:g}"


@dataclass(frozen=True)
class Served(Judged):
    """Of prompts.

    Attributes:
        latency: (E,) of a block [ms]; relevance: (E,).
    """

    latency: np.ndarray
    relevance: np.ndarray

    def change_from(self, reference: Served) -> tuple[Interval, Interval]:
        """Latency in per cent of a reference's, over prompts, and accuracy less its in points, paired."""
        return percent_change(self.latency, reference.latency), self.points_from(reference)


Results = Mapping[str, Served]


class WDMoEInference(Experiment):
    """Top-2 with equal bandwidth against WLR and greedy selection with optimal bandwidth.

    Attributes:
        scenario: of WDMoE-Inference-v0.
        episodes: prompts of test queries, held out.
        validation: prompts of validation queries, which choose a share.
    """

    name: ClassVar[str] = "wdmoe-inference"
    about: ClassVar[str] = "accuracy and latency where WDMoE serves a real model"
    places: ClassVar[tuple[str, ...]] = (PAGE, "docs/images/wdmoe_inference_language.png")

    scenario: Literal["language", "digits"] = "language"
    episodes: Annotated[int, Field(ge=2)] = 5000
    validation: Annotated[int, Field(ge=2)] = 500

    def pieces(self) -> list[Piece]:
        return self._serving("validation", contenders())

    def further_pieces(self, values: Sequence[Any]) -> list[Piece]:
        return self._serving("test", judged(dict(zip(contenders(), values, strict=True))))

    def _serving(self, inputs: str, names: Iterable[str]) -> list[Piece]:
        episodes = self.validation if inputs == "validation" else self.episodes
        first = FIRST_HELD_OUT_SEED - episodes if inputs == "validation" else held_out_seeds(1)[0]
        asked = {"inputs": inputs, "first_seed": first, "episodes": episodes, "scenario": self.scenario}
        return [Piece(serve, {"name": name, **asked}) for name in names]

    def page(self, values: Sequence[Any]) -> Page:
        chosen_on = dict(zip(contenders(), values, strict=False))
        judged_on = dict(zip(judged(chosen_on), values[len(chosen_on) :], strict=True))
        prompts, queries = judged_on[VANILLA].correct.shape
        tables = {
            f"Block latency of {prompts} prompts and accuracy of their {prompts * queries} answers to test queries, "
            "means and 95 % intervals (over prompts and queries)": main_cells(judged_on),
            f"Change from vanilla top-2 (`{VANILLA}`), paired, 95 % intervals; margin {MARGIN:g} point": change_cells(
                judged_on, ["top-2-optimal", "WLR-equal", *_CURVES]
            ),
            "Selection alone: change from `top-2-optimal`, paired, 95 % intervals": change_cells(
                judged_on, list(_CURVES), "top-2-optimal"
            ),
            f"The fastest share that loses at most {MARGIN:g} point on validation queries, judged on test queries": (
                change_cells(judged_on, fastest(chosen_on))
            ),
        }
        text = "\n".join(f"{title}:\n\n{markdown_table(*table)}" for title, table in tables.items())
        section = f"wdmoe-inference-{self.scenario}"
        picture = f"docs/images/{section.replace('-', '_')}.png"
        return Page({(PAGE, section): f"{claim(judged_on)}\n\n{text}"}, {picture: latency_accuracy(chosen_on)})


def serve(name: str, inputs: str, first_seed: int, episodes: int, scenario: str) -> Served:
    """Prompts served by a contender, one per seed; those of the same seeds and inputs are paired."""
    chosen = contenders()[name]
    fields = {"relevance_share": chosen.share, "relevance": {"inputs": inputs}}
    policy = JointPolicy(chosen.build(INFERENCE_SCENARIOS[scenario].replace(**fields)))
    found = answered(ENV_ID, scenario, fields, policy, range(first_seed, first_seed + episodes))
    return Served(found["query"], found["correct"], found["latency_ms"], found["relevance"])


def fastest_within(results: Results, family: str, margin: float = MARGIN) -> str:
    """Of a family the contender of least mean latency that loses at most `margin` points of mean accuracy."""
    lost = {
        name: 100 * (results[VANILLA].correct.mean() - one.correct.mean())
        for name, one in results.items()
        if contenders()[name].family == family
    }
    enough = [name for name, points in lost.items() if points <= margin] or [min(lost, key=lambda name: lost[name])]
    return min(enough, key=lambda name: results[name].latency.mean())


def fastest(chosen_on: Results) -> list[str]:
    """`fastest_within` of every family that has shares."""
    return [fastest_within(chosen_on, family) for family in _CURVES]


def judged(chosen_on: Results) -> list[str]:
    """Whom test queries judge."""
    return list(dict.fromkeys([*JUDGED, *fastest(chosen_on)]))


def verdict(latency: Interval, accuracy: Interval, margin: float = MARGIN) -> str:
    """Is latency reduced without compromising performance?

    Confirmed where the whole interval of the latency change is below zero and that of the accuracy change above
    -margin; not decided where the latter holds -margin.
    """
    if latency.high >= 0:
        return "not confirmed, latency may not fall"
    if accuracy.low > -margin:
        return "confirmed"
    return "not confirmed, accuracy falls" if accuracy.high < -margin else "not decided"


def claim(results: Results) -> str:
    """The abstract's claim and what this experiment says of it."""
    latency, accuracy = results["WLR-optimal"].change_from(results[VANILLA])
    return (
        '"Reduce the latency without compromising performance" (abstract of arXiv 2411.06681), here for WLR selection '
        f"with optimal bandwidth against vanilla top-2 with equal bandwidth at a margin of {MARGIN:g} point: "
        f"**{verdict(latency, accuracy)}**. Latency {latency:+.1f} %, accuracy {accuracy:+.2f} points."
    )


def main_cells(results: Results) -> Cells:
    """Headings and cells: policies down; latency, accuracy, relevance."""
    body = [
        [name, f"{Interval.of(one.latency):.3f}", f"{one.accuracy_interval():.2f}", f"{one.relevance.mean():.3f}"]
        for name, one in results.items()
    ]
    return ["policy", "block latency [ms]", "accuracy [%]", "relevance"], body


def change_cells(results: Results, policies: Sequence[str], reference: str = VANILLA) -> Cells:
    """Headings and cells: policies down; changes of latency and accuracy, and what they say of the claim."""
    body = []
    for name in policies:
        latency, accuracy = results[name].change_from(results[reference])
        body.append([name, f"{latency:+.1f}", f"{accuracy:+.2f}", verdict(latency, accuracy)])
    return ["policy", "latency [%]", "accuracy [points]", "faster without loss"], body


def latency_accuracy(results: Results) -> Figure:
    """Change of accuracy from vanilla top-2 against latency: a point with 95 % intervals per policy.

    WLR and greedy selection are curves over the share of relevance kept.
    """
    figure = Figure(figsize=(9.5, 5.6), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    labelled = {name: ([name], look) for name, look in _ALONE.items()}
    for family, look in _CURVES.items():
        label = f"{family}, share of relevance {SHARES[0]:g} to {SHARES[-1]:g}"
        labelled[label] = [named(family, share) for share in SHARES], look
    for label, (names, (marker, colour)) in labelled.items():
        latency = [Interval.of(results[name].latency) for name in names]
        accuracy = [results[name].change_from(results[VANILLA])[1] for name in names]
        error_bars(axes, latency, accuracy, marker=marker, color=colour, lw=1, elinewidth=0.7, label=label)
    for share in SHARES:  # WLR's points lie too close together for numbers
        one = results[named("greedy-optimal", share)]
        place = (float(one.latency.mean()), 100 * float(one.correct.mean() - results[VANILLA].correct.mean()))
        axes.annotate(f"{share:g}", place, xytext=(5, -11), textcoords="offset points", fontsize=8, color=GREEN)
    axes.axhspan(-MARGIN, MARGIN, color=BLACK, alpha=0.08, lw=0, label=f"within {MARGIN:g} point of {VANILLA}")
    axes.set_xlabel("block latency [ms]")
    axes.set_ylabel(f"accuracy on validation queries less {VANILLA}'s [points]")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure

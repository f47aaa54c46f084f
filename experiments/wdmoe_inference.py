"""Accuracy and latency where WDMoE serves a real classifier: is latency reduced without compromising the answers?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from pydantic import Field

from dmoe_gym.evaluation import Interval, percent_change
from dmoe_gym.evaluation.table import markdown_table
from dmoe_gym.models.digits import load_model
from experiments.page import BLACK, BLUE, GREEN, GREY, ORANGE, Page, error_bars
from experiments.runner import Experiment, Piece
from experiments.serving import SHARES, VANILLA, Part, contenders, draw_prompts, named, serve, system

Cells = tuple[list[str], list[list[str]]]
PARTS: tuple[Part, ...] = ("validation", "test")
PAGE, PICTURE = "docs/reports/wdmoe_inference.md", "docs/images/wdmoe_inference.png"
# Points of accuracy that count as no loss; fixed before the experiment was run.
MARGIN = 1.0
_ALONE = {
    VANILLA: ("D", BLACK),
    "top-2-optimal": ("D", BLUE),
    "top-1-optimal": ("v", BLUE),
    "WLR-equal": ("o", GREY),
}
_CURVES = {"WLR-optimal": ("o", ORANGE), "greedy-optimal": ("s", GREEN)}


class WDMoEInference(Experiment):
    """Top-2 with equal bandwidth against WLR and greedy selection with optimal bandwidth.

    Attributes:
        repeats: how often every test input is asked, over other channels; validation inputs choose a share, once each.
    """

    name: ClassVar[str] = "wdmoe-inference"
    about: ClassVar[str] = "accuracy and latency where WDMoE serves a real classifier"
    places: ClassVar[tuple[str, ...]] = (PAGE, PICTURE)

    repeats: Annotated[int, Field(ge=1)] = 2

    def pieces(self) -> list[Piece]:
        return [
            Piece(run_contender, {"name": one.name, "part": part, "repeats": self.repeats if part == "test" else 1})
            for part in PARTS
            for one in contenders()
        ]

    def page(self, values: Sequence[Any]) -> Page:
        chosen_on, judged_on = (
            Results({p.key["name"]: v for p, v in zip(self.pieces(), values, strict=True) if p.key["part"] == part})
            for part in PARTS
        )
        prompts, digits = len(judged_on.latency[VANILLA]), len(judged_on.accuracy[VANILLA])
        fastest = [chosen_on.fastest_within(family) for family in _CURVES]
        tables = {
            f"Block latency over {prompts} prompts and accuracy over {digits} test digits in every domain, means and "
            "95 % intervals": main_cells(judged_on),
            f"Change from vanilla top-2 (`{VANILLA}`), paired, 95 % intervals; margin {MARGIN:g} point": change_cells(
                judged_on, ["top-2-optimal", "WLR-equal", *_CURVES]
            ),
            "Selection alone: change from `top-2-optimal`, paired, 95 % intervals": change_cells(
                judged_on, list(_CURVES), "top-2-optimal"
            ),
            f"The fastest share that loses at most {MARGIN:g} point on validation inputs, judged on test inputs": (
                change_cells(judged_on, fastest)
            ),
        }
        text = "\n".join(f"{title}:\n\n{markdown_table(*table)}" for title, table in tables.items())
        section = f"{claim(judged_on)}\n\n{text}"
        return Page({(PAGE, "wdmoe-inference"): section}, {PICTURE: latency_accuracy(judged_on)})


def run_contender(name: str, part: Part, repeats: int) -> dict[str, np.ndarray]:
    """Latency [ms] and relevance of every prompt (P,), accuracy [%] of every digit over all domains and repeats.

    Answers to one digit seen in six ways are not independent, so accuracy is averaged over them first.
    """
    contender = next(one for one in contenders() if one.name == name)
    prompts, model = draw_prompts(part, repeats), load_model()
    config = system(model, prompts.images.shape[1]).replace(relevance_share=contender.share)
    served = serve(contender.build(config), model, prompts)
    digits = prompts.images.ravel()
    return {
        "latency": 1e3 * served.latency.mean(1),
        "relevance": served.relevance.mean(1),
        "accuracy": 100 * np.bincount(digits, served.correct.ravel()) / np.bincount(digits),
    }


class Results:
    """Values of `run_contender` by policy: `latency` [ms] and `relevance` per prompt, `accuracy` [%] per digit."""

    def __init__(self, values: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        self.latency, self.relevance, self.accuracy = (
            {name: value[key] for name, value in values.items()} for key in ("latency", "relevance", "accuracy")
        )

    def faster(self, policy: str, reference: str = VANILLA) -> Interval:
        """Change of the mean latency in per cent of the reference's, over prompts."""
        return percent_change(self.latency[policy], self.latency[reference])

    def accuracy_change(self, policy: str, reference: str = VANILLA) -> Interval:
        """Change of the accuracy in points of per cent, over digits."""
        return Interval.of(self.accuracy[policy] - self.accuracy[reference])

    def fastest_within(self, family: str, margin: float = MARGIN) -> str:
        """Of a family the policy of least mean latency that loses at most `margin` points of mean accuracy."""
        lost = {
            name: self.accuracy[VANILLA].mean() - values.mean()
            for name, values in self.accuracy.items()
            if name.split()[0] == family
        }
        enough = [name for name, points in lost.items() if points <= margin] or [min(lost, key=lambda name: lost[name])]
        return min(enough, key=lambda name: self.latency[name].mean())


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
    latency, accuracy = (change("WLR-optimal") for change in (results.faster, results.accuracy_change))
    return (
        '"Reduce the latency without compromising performance" (abstract of arXiv 2411.06681), here for WLR selection '
        f"with optimal bandwidth against vanilla top-2 with equal bandwidth at a margin of {MARGIN:g} point: "
        f"**{verdict(latency, accuracy)}**. Latency {latency:+.1f} %, accuracy {accuracy:+.2f} points."
    )


def main_cells(results: Results) -> Cells:
    """Headings and cells: policies down; latency, accuracy, relevance."""
    body = [
        [
            name,
            f"{Interval.of(results.latency[name]):.3f}",
            f"{Interval.of(results.accuracy[name]):.2f}",
            f"{results.relevance[name].mean():.3f}",
        ]
        for name in results.latency
    ]
    return ["policy", "block latency [ms]", "accuracy [%]", "relevance"], body


def change_cells(results: Results, policies: Sequence[str], reference: str = VANILLA) -> Cells:
    """Headings and cells: policies down; changes of latency and accuracy, and what they say of the claim."""
    body = []
    for name in policies:
        latency, accuracy = results.faster(name, reference), results.accuracy_change(name, reference)
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
        latency = [Interval.of(results.latency[name]) for name in names]
        accuracy = [results.accuracy_change(name) for name in names]
        error_bars(axes, latency, accuracy, marker=marker, color=colour, lw=1, elinewidth=0.7, label=label)
    for share in SHARES:  # WLR's points lie too close together for numbers
        name = named("greedy-optimal", share)
        place = (float(results.latency[name].mean()), results.accuracy_change(name).mean)
        axes.annotate(f"{share:g}", place, xytext=(5, -11), textcoords="offset points", fontsize=8, color=GREEN)
    axes.axhspan(-MARGIN, MARGIN, color=BLACK, alpha=0.08, lw=0, label=f"within {MARGIN:g} point of {VANILLA}")
    axes.set_xlabel("block latency [ms]")
    axes.set_ylabel(f"accuracy on test inputs less {VANILLA}'s [points]")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure

"""What expert selection and bandwidth allocation bring in WDMoE: block latency against vanilla top-2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from matplotlib.figure import Figure
from pydantic import Field

from dmoe_gym.evaluation import Interval, Row, held_out_seeds, line_up_of, percent_change
from dmoe_gym.evaluation.report import draw_bars
from dmoe_gym.evaluation.statistics import column
from dmoe_gym.evaluation.table import markdown_table
from dmoe_gym.wdmoe import SCENARIOS
from experiments.page import Page
from experiments.runner import Experiment, Piece, episode_piece, rows_by_policy

Cells = tuple[list[str], list[list[str]]]
Groups = Mapping[str, Sequence[Row]]
ENV_ID, METRIC, VANILLA = "WDMoE-v0", "latency_ms", "top-2-equal"
PICTURE = "docs/images/wdmoe_latency.png"
# what changes from the second policy to the first
EFFECTS = (
    ("optimal bandwidth alone", "top-2-optimal", VANILLA),
    ("WLR selection alone", "WLR-equal", VANILLA),
    ("WLR selection and optimal bandwidth", "WLR-optimal", VANILLA),
    ("WLR selection, bandwidth being optimal", "WLR-optimal", "top-2-optimal"),
    ("greedy selection alone", "greedy-equal", VANILLA),
    ("greedy selection and optimal bandwidth", "greedy-optimal", VANILLA),
    ("greedy selection, bandwidth being optimal", "greedy-optimal", "top-2-optimal"),
    ("priced selection, bandwidth being optimal", "priced-optimal", "top-2-optimal"),
)


class WDMoE(Experiment):
    """Block latency of every policy and bound, split into selection and bandwidth.

    Attributes:
        episodes: held out, the same for every policy.
        share: of top-2's relevance that every policy must keep.
    """

    name: ClassVar[str] = "wdmoe"
    about: ClassVar[str] = "what expert selection and bandwidth allocation bring in WDMoE"
    places: ClassVar[tuple[str, ...]] = ("docs/reports/wdmoe.md", PICTURE)

    scenarios: tuple[str, ...] = tuple(SCENARIOS)
    episodes: Annotated[int, Field(ge=2)] = 50
    share: float = 0.9

    def pieces(self) -> list[Piece]:
        seeds, fields = held_out_seeds(self.episodes), {"relevance_share": self.share}
        found = []
        for scenario in self.scenarios:
            line_up = line_up_of(ENV_ID, scenario)
            found += [
                episode_piece(name, ENV_ID, scenario, seeds, fields) for name in (*line_up.policies, *line_up.bounds)
            ]
        return found

    def page(self, values: Sequence[Any]) -> Page:
        groups = {name: rows_by_policy(self.pieces(), values, scenario=name) for name in self.scenarios}
        tables = {
            f"Block latency, {self.episodes} held-out episodes, means and 95 % intervals": latency_cells(groups),
            "Change of block latency in per cent of vanilla top-2's, paired by episode, 95 % intervals": effect_cells(
                groups
            ),
        }
        text = "\n".join(f"{title}:\n\n{markdown_table(*table)}" for title, table in tables.items())
        return Page({("docs/reports/wdmoe.md", "wdmoe-comparison"): text}, {PICTURE: latency_panels(groups)})


def latency_cells(by_scenario: Mapping[str, Groups]) -> Cells:
    """Headings and cells: policies down, scenarios across, each with latency [ms] and relevance."""
    headings = ["policy"]
    for name in by_scenario:
        headings += [f"{name} [ms]", "relevance"]
    policies = list(dict.fromkeys(policy for groups in by_scenario.values() for policy in groups))
    body = []
    for policy in policies:
        line = [policy]
        for groups in by_scenario.values():
            rows = groups.get(policy, [])
            known = bool(rows) and "relevance" in rows[0]
            line.append(f"{Interval.of(column(rows, METRIC)):.3f}" if rows else "–")
            line.append(f"{column(rows, 'relevance').mean():.3f}" if known else "–")
        body.append(line)
    return headings, body


def effect_cells(by_scenario: Mapping[str, Groups]) -> Cells:
    """Headings and cells: effects down, scenarios across, in per cent of vanilla top-2's mean latency."""
    body = [
        [label, *(f"{effect(groups, policy, reference):+.1f}" for groups in by_scenario.values())]
        for label, policy, reference in EFFECTS
    ]
    return ["change", *(f"{name} [%]" for name in by_scenario)], body


def effect(groups: Groups, policy: str, reference: str) -> Interval:
    """Paired change of latency from a reference to a policy, in per cent of vanilla top-2's mean."""
    values, base, vanilla = (column(groups[name], METRIC) for name in (policy, reference, VANILLA))
    return percent_change(values, base, unit=float(vanilla.mean()))


def latency_panels(by_scenario: Mapping[str, Groups]) -> Figure:
    """One panel per scenario with every policy's latency but random's; the optimum or bound is a dashed line."""
    figure = Figure(figsize=(3.9 * len(by_scenario) + 1.2, 3.8), layout="constrained", dpi=110)
    panels = figure.subplots(1, len(by_scenario), squeeze=False)[0]
    for axes, (scenario, groups) in zip(panels, by_scenario.items(), strict=True):
        line_up = line_up_of(ENV_ID, scenario)
        names = [name for name in groups if name != line_up.random]
        draw_bars(axes, [row for name in names for row in groups[name]], names, METRIC, line_up, ())
        axes.set_title(scenario, fontsize=10)
        axes.set_xlabel(f"block latency [ms] (dashed: {line_up.optimum})")
    return figure

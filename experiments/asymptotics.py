"""How often JESA is optimal as subcarriers multiply, beside the probability that best subcarriers are distinct.

With independent subcarriers, A links have distinct best ones with probability prod_{i<A} (1 - i/M); then the lower
bound is attained. JESA is optimal at least as often, for it need not be on every link's best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from pydantic import Field

from dmoe_gym.channel import ChannelConfig, RayleighConfig, TappedDelayLineConfig
from dmoe_gym.dmoe import DMoEConfig, Schedule, cost, lower_bound, solve_exact, solve_jesa
from dmoe_gym.dmoe.solvers.exact import relaxed_selection
from dmoe_gym.evaluation import Interval
from dmoe_gym.evaluation.table import markdown_table
from dmoe_gym.registration import create_core
from experiments.page import Page, error_bars
from experiments.runner import Experiment, Piece

SUBCARRIERS = (12, 16, 32, 64, 128, 256, 512)
CHANNELS: dict[str, ChannelConfig] = {
    "independent": RayleighConfig(),
    "correlated": TappedDelayLineConfig(profile="exponential", delay_spread_s=1e-7),
}
# JESA equals the optimum if their costs differ by less than rounding
_EQUAL = 1e-9
# JESA takes the threshold as a hard constraint: at this price of shortfall the optimum does, too
HARD_PRICE = 1e4
PICTURE = "docs/images/asymptotics.png"


class Asymptotics(Experiment):
    """Rounds of K = 4, N = 1 per channel and number of subcarriers."""

    name: ClassVar[str] = "asymptotics"
    about: ClassVar[str] = "how often JESA is optimal as subcarriers multiply"
    places: ClassVar[tuple[str, ...]] = ("docs/reports/asymptotics.md", PICTURE)

    rounds: Annotated[int, Field(ge=1)] = 400
    seed: Annotated[int, Field(ge=0)] = 2_000_000

    def pieces(self) -> list[Piece]:
        return [
            Piece(asymptotic_rounds, {"channel": channel, "subcarriers": m, "rounds": self.rounds, "seed": self.seed})
            for channel in CHANNELS
            for m in SUBCARRIERS
        ]

    def page(self, values: Sequence[Any]) -> Page:
        rows = [{**piece.key, **summary(value)} for piece, value in zip(self.pieces(), values, strict=True)]
        headings = ["subcarriers", "M", "JESA optimal", "bound attained", "product", "JESA's mean gap"]
        body = [
            [
                row["channel"],
                row["subcarriers"],
                f"{row['optimal']:.3f}",
                f"{row['attained']:.3f}",
                f"{row['product']:.3f}",
                f"{100 * row['gap']:.3f} %",
            ]
            for row in rows
        ]
        text = (
            f"Shares of {self.rounds} independent rounds with 95 % bootstrap intervals, K = 4, N = 1, seed {self.seed}:"
        )
        section = f"{text}\n\n{markdown_table(headings, body)}"
        return Page({("docs/reports/asymptotics.md", self.name): section}, {PICTURE: draw(rows)})


def distinct_probability(links: int, subcarriers: int) -> float:
    """prod_{i<A} (1 - i/M): independent uniform choices of A links among M subcarriers are distinct."""
    return float(np.prod(np.maximum(0, 1 - np.arange(links) / subcarriers)))


def asymptotic_rounds(channel: str, subcarriers: int, rounds: int, seed: int) -> list[dict[str, float]]:
    """Of every round: is JESA optimal, is the bound attained, the product, JESA's gap."""
    config = DMoEConfig(
        num_subcarriers=subcarriers, num_layers=1, channel=CHANNELS[channel], shortfall_price=HARD_PRICE
    )
    core = create_core("DMoE-JESA-v0", 1, None, dict(config))
    core.seed([0], [(seed, 0)])
    rows = []
    for _ in range(rounds):
        # one round per episode, so that rounds are independent
        core.start(core.all_rows)
        current = core.round(0)
        best = cost(current, solve_exact(current))
        found = cost(current, solve_jesa(current))
        payload = Schedule(relaxed_selection(current)[0], np.zeros(current.gains.shape, bool)).payload_states.copy()
        np.fill_diagonal(payload, 0)
        rows.append(
            {
                "optimal": float(found <= best * (1 + _EQUAL)),
                "attained": float(best <= lower_bound(current) * (1 + _EQUAL)),
                "product": distinct_probability(int((payload > 0).sum()), subcarriers),
                "gap": found / best - 1,
            }
        )
    return rows


def summary(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Shares of rounds with their intervals; means of the product and of the gap."""
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    shares = {key: Interval.of(columns[key]) for key in ("optimal", "attained")}
    return {**shares, "product": float(columns["product"].mean()), "gap": float(columns["gap"].mean())}


def draw(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The shares against M, one panel per channel."""
    figure = Figure(figsize=(9, 3.6), layout="constrained", dpi=130)
    panels = figure.subplots(1, len(CHANNELS), sharey=True)
    for panel, channel in zip(panels, CHANNELS, strict=True):
        of_channel = [row for row in rows if row["channel"] == channel]
        subcarriers = [row["subcarriers"] for row in of_channel]
        for key, label, marker in (("optimal", "JESA optimal", "o"), ("attained", "bound attained", "s")):
            error_bars(panel, subcarriers, [row[key] for row in of_channel], marker=marker, label=label)
        product = [row["product"] for row in of_channel]
        panel.plot(subcarriers, product, "--", color="black", label=r"$\prod_{i<A} (1 - i/M)$")
        panel.set_xscale("log", base=2)
        panel.set_xticks(subcarriers, [str(m) for m in subcarriers])
        panel.set_xlabel("subcarriers M")
        panel.set_title(f"{channel} subcarriers")
        panel.set_ylim(0, 1.02)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("share of rounds")
    panels[0].legend(loc="lower right")
    return figure

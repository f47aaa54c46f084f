"""Every node for itself: rules that hear nothing of others, auctions, central schedulers, bounds, learned nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from agents.config import load_config
from dmoe_gym.dmoe.schedulers.nodes import Auction
from dmoe_gym.evaluation import Row, evaluate_line_up, held_out_seeds, line_up_of, seed_matrix
from dmoe_gym.evaluation.run import FIRST_VALIDATION_SEED
from dmoe_gym.evaluation.statistics import column, paired_percent, two_way_mean
from dmoe_gym.evaluation.table import markdown_table
from experiments.page import Page
from experiments.results.store import STORE, Setting, analytic_rows, learned_rows
from experiments.runner import LABELS, Experiment, Piece, episode_piece

NODES, CENTRAL = "DMoE-Nodes-v0", "DMoE-JESA-v0"
ANNOUNCEMENTS = (1, 2, 4)
# Central schedulers, the last of which is what nodes are measured against: the strongest JESA there is.
CENTRALS = {"scarce": ("single-pass", "JESA"), "blockage": ("JESA", "JESA-filter")}
BOUNDS = ("informed", "exact")
PAGE = "docs/parallel.md"


class Nodes(Experiment):
    """Rows of every rule on the same held-out episodes; the strongest rule is chosen on validation episodes.

    Attributes:
        scenarios: among `CENTRALS`.
        episodes: held out; validation: by which the strongest rule is chosen.
    """

    name: ClassVar[str] = "nodes"
    about: ClassVar[str] = "every node for itself: rules, auctions, learned nodes, beside central schedulers"
    places: ClassVar[tuple[str, ...]] = (PAGE,)

    scenarios: tuple[str, ...] = tuple(CENTRALS)
    episodes: Annotated[int, Field(ge=2)] = 100
    validation: Annotated[int, Field(ge=2)] = 100

    def pieces(self) -> list[Piece]:
        found = []
        held_out = held_out_seeds(self.episodes)
        chosen_by = range(FIRST_VALIDATION_SEED, FIRST_VALIDATION_SEED + self.validation)
        for scenario in self.scenarios:
            rules = line_up_of(NODES, scenario).policies
            found += [episode_piece(name, NODES, scenario, seeds) for seeds in (held_out, chosen_by) for name in rules]
            key = {"scenario": scenario, "first_seed": held_out.start, "episodes": self.episodes}
            found += [Piece(auction_episodes, {"announcements": count, **key}) for count in ANNOUNCEMENTS]
            found += [episode_piece(name, CENTRAL, scenario, held_out) for name in CENTRALS[scenario]]
        return found

    def page(self, values: Sequence[Any]) -> Page:
        done = list(zip(self.pieces(), values, strict=True))
        sections = []
        for scenario in self.scenarios:
            here = [(piece.key, rows) for piece, rows in done if piece.key["scenario"] == scenario]
            held_out = {named(key): rows for key, rows in here if key["first_seed"] != FIRST_VALIDATION_SEED}
            chosen_by = {named(key): rows for key, rows in here if key["first_seed"] == FIRST_VALIDATION_SEED}
            sections.append(section(scenario, held_out, chosen_by))
        return Page({(PAGE, self.name): "\n\n".join(sections)})


def named(key: Mapping[str, Any]) -> str:
    """What a piece's rows are called."""
    return f"auction-{key['announcements']}" if "announcements" in key else str(key["policy"])


def auction_episodes(announcements: int, scenario: str, first_seed: int, episodes: int) -> list[Row]:
    """Rows of an auction with so many announcements in every round."""
    rows = evaluate_line_up(
        NODES,
        scenario=scenario,
        seeds=range(first_seed, first_seed + episodes),
        names=[],
        extra={"auction": lambda config: Auction(config, announcements)},
    )
    return [{key: value for key, value in row.items() if key not in LABELS} for row in rows]


def learned_of(scenario: str) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Costs (seeds, episodes) of every recipe of nodes in a scenario that was collected, and of which episodes."""
    found = {}
    for file in sorted(Path("configs").glob("nodes_*.yaml")):
        config = load_config(file)
        rows, _ = learned_rows(file.stem, config, STORE) if config.scenario == scenario else ([], "")
        if rows:
            found[file.stem] = (
                seed_matrix(rows, "cost", config.seeds, file.stem),
                sorted({int(row["seed"]) for row in rows}),
            )
    return found


def section(scenario: str, held_out: Mapping[str, list[Row]], chosen_by: Mapping[str, list[Row]]) -> str:
    """A scenario's table and what it comes to, in words."""
    validation = {name: float(column(rows, "cost").mean()) for name, rows in chosen_by.items()}
    strongest = min(validation, key=lambda name: validation[name])
    central = CENTRALS[scenario][-1]
    costs = {name: column(rows, "cost")[None] for name, rows in held_out.items()}
    seeds = [int(row["seed"]) for row in held_out[strongest]]
    base, goal = costs[strongest][0], costs[central][0]
    stored = analytic_rows(Setting.of(CENTRAL, scenario, {}), STORE)
    lines = []

    def add(name: str, kind: str, values: np.ndarray, of: Sequence[int]) -> None:
        shared = [(place, seeds.index(seed)) for place, seed in enumerate(of) if seed in seeds]
        own, theirs = (list(part) for part in zip(*shared, strict=True))
        kept, alone, together = values[:, own], base[theirs], goal[theirs].mean()
        change = paired_percent(kept, alone)
        closed = round(100 * float((alone.mean() - kept.mean()) / (alone.mean() - together)))
        lines.append((name, kind, len(values), len(own), two_way_mean(kept), change, closed))

    for name in validation:
        add(name, "rule", costs[name], seeds)
    for count in ANNOUNCEMENTS:
        add(f"auction-{count}", "announcing", costs[f"auction-{count}"], seeds)
    for name in CENTRALS[scenario]:
        add(name, "central", costs[name], seeds)
    for name in BOUNDS:
        if name in stored:
            add(name, "bound", column(stored[name], "cost")[None], [int(row["seed"]) for row in stored[name]])
    learned = learned_of(scenario)
    for name, (values, of) in learned.items():
        add(name, "learned", values, of)
    lines.sort(key=lambda line: line[4].mean)
    body = [
        [
            f"*{name}*" if kind == "learned" else name,
            kind,
            str(runs) if kind == "learned" else "",
            str(episodes),
            f"{cost:.4f}",
            "" if name == strongest else f"{change:+.2f}",
            f"{closed}",
        ]
        for name, kind, runs, episodes, cost, change, closed in lines
    ]
    headings = ["scheduler", "kind", "seeds", "episodes", "cost", f"to {strongest} [%]", f"of the way to {central} [%]"]
    words = [
        f"`{strongest}` is the strongest rule that hears nothing of others, by {len(chosen_by[strongest])} validation "
        "episodes."
    ]
    for line in lines:
        if line[1] == "learned":
            change = line[5]
            told = "below" if change.high < 0 else "above" if change.low > 0 else "not told apart from"
            words.append(
                f"`{line[0]}` is {told} it ({change:+.2f} %, {line[2]} seeds) and goes {line[6]} % of the way to "
                f"`{central}`."
            )
    return f"### `{scenario}`\n\n{' '.join(words)}\n\n{markdown_table(headings, body)}"

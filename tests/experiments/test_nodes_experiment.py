"""The page of nodes that schedule for themselves: its arithmetic on rows with known effects."""

from __future__ import annotations

import numpy as np
import pytest

from experiments import nodes
from experiments.nodes import Nodes, named, section

# cost of every scheduler in an episode whose scale is 1 or 3
COSTS = {"random": 9.0, "shares": 4.0, "random-access": 8.0, "sensing": 6.0, "bandit": 7.0}
COSTS |= {"auction-1": 5.0, "auction-2": 3.0, "auction-4": 2.0, "single-pass": 1.0, "JESA": 2.0}


def rows(cost: float) -> list[dict[str, float]]:
    return [{"seed": seed, "cost": cost * (3 if seed % 2 else 1)} for seed in range(10)]


def test_differences_are_paired_and_shares_of_the_way_are_to_the_central_scheduler(monkeypatch):
    """The strongest rule is validation's, and a learned cost of 3 is half way from 4 to 2."""
    scale = np.array([3 if seed % 2 else 1 for seed in range(10)])
    learned = {"nodes_mine": (np.stack([3.0 * scale, 3.0 * scale]), list(range(10)))}
    monkeypatch.setattr(nodes, "learned_of", lambda scenario: learned)
    monkeypatch.setattr(nodes, "analytic_rows", lambda setting, store: {"exact": rows(1.0)[:4]})
    held_out = {name: rows(cost) for name, cost in COSTS.items()}
    text = section("scarce", held_out, {"shares": rows(4.0), "sensing": rows(4.1)})
    assert "`shares` is the strongest rule" in text
    table = {line.split(" | ")[0].strip("| *"): line.split(" | ") for line in text.splitlines() if line.startswith("|")}
    assert table["nodes_mine"][2:4] == ["2", "10"]
    assert table["nodes_mine"][-1].strip(" |") == "50"
    assert table["nodes_mine"][-2].startswith("-25.00")
    assert table["exact"][3] == "4"
    assert table["auction-4"][-1].strip(" |") == "100"
    assert "goes 50 % of the way to `JESA`" in text


def test_pieces_name_every_scheduler_once_on_held_out_episodes():
    experiment = Nodes(episodes=2, validation=3)
    keys = [piece.key for piece in experiment.pieces()]
    for scenario in experiment.scenarios:
        names = [named(key) for key in keys if key["scenario"] == scenario and key["episodes"] == 2]
        assert len(names) == len(set(names))
        assert {"shares", "auction-4", "JESA"} <= set(names)


@pytest.mark.slow
def test_auctions_run_on_the_rules_episodes():
    found = nodes.auction_episodes(2, "scarce", 1_000_000, 2)
    assert [row["seed"] for row in found] == [1_000_000, 1_000_001]

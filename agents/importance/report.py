"""What learned selection saves at the accuracy of JESA with its best (z, gamma)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agents.importance.network import SelectionNetwork
from agents.importance.policy import LearnedSelection
from dmoe_gym.evaluation import Interval, Row, by_policy
from dmoe_gym.evaluation.inference import (
    ACCURACY,
    ENERGY,
    Contender,
    cheapest_as_accurate,
    contender_rows,
    means,
    ratio_change,
)
from dmoe_gym.evaluation.table import two_lines

# What a wrong answer costs, as told to the network: each seed's is chosen on validation inputs.
PRICES = (27.0, 33.0, 40.0, 49.0, 60.0, 74.0, 90.0)
Cells = tuple[list[str], list[list[str]]]


def learned_contenders(name: str, network: SelectionNetwork) -> list[Contender]:
    """One seed's scheduler at every price."""

    def at(price: float) -> Contender:
        return Contender(
            f"{name} price={price:g}", "learned", lambda config: LearnedSelection(config, network, price), {}
        )

    return [at(price) for price in PRICES]


def learned_rows(folder: Path, name: str, network: SelectionNetwork, known: Sequence[Row]) -> list[Row]:
    """Rows of one seed's scheduler at every price, on the episodes of the known rows, kept in `folder`."""
    rows: list[Row] = []
    for inputs in ("validation", "test"):
        seeds = sorted({int(row["seed"]) for row in known if row["inputs"] == inputs})
        for contender in learned_contenders(name, network):
            found = contender_rows(folder, contender, inputs, seeds)
            rows += [{**row, "run": name} for row in found]
    return rows


def best_jesa(known: Sequence[Row]) -> str:
    """JESA with the (z, gamma) of least mean cost on validation inputs."""
    groups = by_policy(row for row in known if row["inputs"] == "validation" and "importance_factor" in row)
    return min(groups, key=lambda name: float(np.mean([row["cost"] for row in groups[name]])))


def chosen(learned: Sequence[Row], accuracy: float) -> list[str]:
    """Per run the price of least energy with at least this accuracy on validation inputs, where there is one."""
    validation = [row for row in learned if row["inputs"] == "validation"]
    found = []
    for run in dict.fromkeys(row["run"] for row in validation):
        name = cheapest_as_accurate([row for row in validation if row["run"] == run], ["learned"], accuracy)
        if name is not None:
            found.append(name)
    return found


def saving_cells(learned: Sequence[Row], known: Sequence[Row]) -> Cells:
    """Headings and cells: every seed and the mean of all, beside JESA's best and the analytic front."""
    reference = best_jesa(known)
    accuracy = means(row for row in known if row["inputs"] == "validation")[reference][1]
    test = by_policy(row for row in [*known, *learned] if row["inputs"] == "test")
    names = chosen(learned, accuracy)
    half_point = chosen(learned, accuracy - 0.005)
    base = {metric: np.array([row[metric] for row in test[reference]]) for metric in (ENERGY, ACCURACY)}
    body = [[*_line(reference, base, base), ""]]
    for name in dict.fromkeys(row["policy"] for row in learned):
        own = {metric: np.array([row[metric] for row in test[name]]) for metric in (ENERGY, ACCURACY)}
        marks = [mark for mark, found in (("0", names), ("0.5", half_point)) if name in found]
        body.append([*_line(name, own, base), ", ".join(marks)])
    return [
        "scheduler", "accuracy [%]", "energy per answer [mJ]", "energy [%]", "accuracy [points]",
        "chosen with points allowed",
    ], body  # fmt: skip


def _line(name: str, own: dict[str, np.ndarray], base: dict[str, np.ndarray]) -> list[str]:
    same = own is base
    return [
        name,
        two_lines(Interval.of(100 * own[ACCURACY]), ".2f"),
        two_lines(Interval.of(own[ENERGY]), ".2f"),
        "" if same else two_lines(ratio_change(own[ENERGY], base[ENERGY]), "+.1f"),
        "" if same else two_lines(Interval.of(100 * (own[ACCURACY] - base[ACCURACY])), "+.2f"),
    ]

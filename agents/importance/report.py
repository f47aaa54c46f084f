"""What learned selection saves at the accuracy of JESA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.importance.network import SelectionNetwork
from agents.importance.policy import LearnedSelection
from agents.importance.validation import as_accurate
from dmoe_gym.evaluation import Interval, Row, by_policy
from dmoe_gym.evaluation.aggregate import paired_difference, two_way_mean
from dmoe_gym.evaluation.inference import ACCURACY, ENERGY, Contender, contender_rows
from dmoe_gym.evaluation.table import two_lines

Cells = tuple[list[str], list[list[str]]]


@dataclass(frozen=True)
class Run:
    """One seed.

    Fields:
        name: of its folder.
        network: trained.
        validation: its rows of `out_of_fold_outcomes`.
    """

    name: str
    network: SelectionNetwork
    validation: Sequence[Row]

    def at(self, price: float) -> Contender:
        """The scheduler at a price."""
        name = f"{self.name} price={price:g}"
        return Contender(name, "learned", lambda config: LearnedSelection(config, self.network, price), {})


def chosen_prices(runs: Sequence[Run], reference: Row) -> list[float]:
    """Every run's price at which it is as accurate as the reference on validation inputs.

    Raises:
        ValueError: if a run reaches that accuracy at no price.
    """
    prices = []
    for run in runs:
        price = as_accurate(run.validation, reference[ACCURACY])
        if price is None:
            raise ValueError(f"{run.name}: at no price as accurate as {reference['policy']} on validation inputs")
        prices.append(price)
    return prices


def learned_rows(
    folder: Path, runs: Sequence[Run], prices: Sequence[float], inputs: str, seeds: Sequence[int]
) -> list[list[Row]]:
    """Every run's rows at its price, kept in `folder`."""
    return [contender_rows(folder, run.at(price), inputs, seeds) for run, price in zip(runs, prices, strict=True)]


def seed_cells(
    runs: Sequence[Run],
    prices: Sequence[float],
    own: Sequence[Sequence[Row]],
    base: Sequence[Row],
    pooled: tuple[str, float, Sequence[Row]],
) -> Cells:
    """Headings and cells: the reference, every seed, their mean, and all members as one; paired by episode."""
    references = {metric: _values([base], metric)[0] for metric in (ACCURACY, ENERGY)}
    body = [[str(base[0]["policy"]), "", *_means([base]), "", ""]]
    for run, price, rows in zip(runs, prices, own, strict=True):
        body.append([run.name, f"{price:g}", *_means([rows]), *_differences([rows], references)])
    body.append(["mean of the seeds", "", *_means(own), *_differences(own, references)])
    name, price, rows = pooled
    body.append([name, f"{price:g}", *_means([rows]), *_differences([rows], references)])
    return [
        "scheduler", "price", "accuracy [%]", "energy per answer [mJ]", "energy [%]", "accuracy [points]",
    ], body  # fmt: skip


def reference_cells(results: Sequence[tuple[Row, Sequence[Sequence[Row]], Sequence[Row]]]) -> Cells:
    """Headings and cells: all seeds together against every reference.

    Args:
        results: the reference's row on validation inputs; every seed's rows and its own on test inputs.
    """
    body = []
    for known, own, base in results:
        references = {metric: _values([base], metric)[0] for metric in (ACCURACY, ENERGY)}
        changes = [f"{ratio_change_over_seeds(_values([rows], ENERGY), references[ENERGY]).mean:+.1f}" for rows in own]
        body.append([known["policy"], f"{known['cost']:.4f}", *_differences(own, references), ", ".join(changes)])
    return [
        "reference", "cost per layer on validation inputs", "energy [%]", "accuracy [points]", "energy, every seed [%]",
    ], body  # fmt: skip


def ratio_change_over_seeds(values: np.ndarray, base: np.ndarray) -> Interval:
    """100 (mean / mean of the base - 1) of (S, E) values and (E,) of the base; 95 % interval by the delta method."""
    ratio = values.mean() / base.mean()
    return two_way_mean(100 * (ratio - 1 + (values - ratio * base) / base.mean()))


def _values(rows: Sequence[Sequence[Row]], metric: str) -> np.ndarray:
    """(S, E)."""
    return np.array([[row[metric] for row in each] for each in rows], float)


def _means(rows: Sequence[Sequence[Row]]) -> list[str]:
    accuracy, energy = (two_way_mean(_values(rows, metric)) for metric in (ACCURACY, ENERGY))
    percent = Interval(100 * accuracy.mean, 100 * accuracy.low, 100 * accuracy.high)
    return [two_lines(percent, ".2f"), two_lines(energy, ".2f")]


def _differences(rows: Sequence[Sequence[Row]], references: dict[str, np.ndarray]) -> list[str]:
    energy = ratio_change_over_seeds(_values(rows, ENERGY), references[ENERGY])
    accuracy = paired_difference(100 * _values(rows, ACCURACY), 100 * references[ACCURACY])
    return [two_lines(energy, "+.1f"), two_lines(accuracy, "+.2f")]


def rows_of(known: Sequence[Row], policy: str, inputs: str) -> list[Row]:
    """One policy's rows on one part of the inputs.

    Raises:
        ValueError: if there are none.
    """
    found = by_policy(row for row in known if row["inputs"] == inputs).get(policy)
    if not found:
        raise ValueError(
            f"rows: there are none of {policy!r} on {inputs} inputs; `python -m baselines inference` makes them"
        )
    return found

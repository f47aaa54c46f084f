"""What learned selection saves at the accuracy of JESA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.importance.network import SelectionNetwork
from agents.importance.policy import LearnedSelection
from agents.importance.validation import as_accurate
from dmoe_gym.evaluation import Interval, Row, by_policy
from dmoe_gym.evaluation.aggregate import paired_difference, two_way_mean
from dmoe_gym.evaluation.inference import ACCURACY, ENERGY, Contender
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

    def price(self, reference: Row) -> float:
        """The price at which it is as accurate as the reference on validation inputs.

        Raises:
            ValueError: if it is so at no price.
        """
        price = as_accurate(self.validation, reference[ACCURACY])
        if price is None:
            raise ValueError(f"{self.name}: at no price as accurate as {reference['policy']} on validation inputs")
        return price


def saving_cells(
    runs: Sequence[Run], seeds: int, reference: Row, own: Sequence[Sequence[Row]], base: Sequence[Row]
) -> Cells:
    """Headings and cells: the reference, every run, and after the first `seeds` of them, one per seed, their mean.

    Args:
        reference: JESA's row on validation inputs; base: its rows on test inputs.
        own: every run's rows on the same episodes.
    """
    references = {metric: _values([base], metric)[0] for metric in (ACCURACY, ENERGY)}
    body = [[str(base[0]["policy"]), "", *_means([base]), "", ""]]
    lines = [(run.name, f"{run.price(reference):g}", [rows]) for run, rows in zip(runs, own, strict=True)]
    lines.insert(seeds, ("mean of the seeds", "", list(own[:seeds])))
    for name, price, rows in lines:
        body.append([name, price, *_means(rows), *_differences(rows, references)])
    return [
        "scheduler", "price", "accuracy [%]", "energy per answer [mJ]", "energy [%]", "accuracy [points]",
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

"""What learned selection saves at the accuracy of JESA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from agents.importance.network import SelectionNetwork
from agents.importance.policy import LearnedSelection
from agents.importance.validation import as_accurate
from dmoe_gym.evaluation import Interval, Row, by_policy
from dmoe_gym.evaluation.aggregate import crossed_bootstrap, paired_difference, two_way_mean
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


def saving_cells(runs: Sequence[Run], reference: Row, own: Sequence[Sequence[Row]], base: Sequence[Row]) -> Cells:
    """Headings and cells: the reference, every run, their mean.

    Args:
        reference: JESA's row on validation inputs; base: its rows on test inputs.
        own: every run's rows on the same episodes.
    """
    references = {metric: _values([base], metric)[0] for metric in (ACCURACY, ENERGY)}
    body = [[str(base[0]["policy"]), "", *_means([base]), "", ""]]
    lines = [(run.name, f"{run.price(reference):g}", [rows]) for run, rows in zip(runs, own, strict=True)]
    lines.append(("mean of the seeds", "", list(own)))
    for name, price, rows in lines:
        body.append([name, price, *_means(rows), *_differences(rows, references)])
    return [
        "scheduler", "price", "accuracy [%]", "energy per answer [mJ]", "energy [%]", "accuracy [points]",
    ], body  # fmt: skip


def equal_accuracy_cells(runs: Sequence[Run], curves: Sequence[Sequence[Sequence[Row]]], base: Sequence[Row]) -> Cells:
    """Headings and cells: the change of energy at the reference's accuracy, of every run and in their mean.

    Args:
        curves: every run's rows at rising prices on the reference's episodes; base: the reference's.
    """
    accuracy, energy = (np.array([_values(curve, metric) for curve in curves]) for metric in (ACCURACY, ENERGY))
    references = [_values([base], metric)[0] for metric in (ACCURACY, ENERGY)]
    lines = [(run.name, slice(index, index + 1)) for index, run in enumerate(runs)]
    lines.append(("mean of the seeds", slice(None)))
    body = [[name, two_lines(change_at_equal_accuracy(accuracy[part], energy[part], *references), "+.1f")]
            for name, part in lines]  # fmt: skip
    return ["scheduler", "energy at JESA's accuracy [%]"], body


def change_at_equal_accuracy(
    accuracy: np.ndarray, energy: np.ndarray, base_accuracy: np.ndarray, base_energy: np.ndarray
) -> Interval:
    """100 (mean over seeds of the energy at the base's accuracy / the base's energy - 1).

    A seed's accuracy is first made one that rises with the price (isotonic regression: as good a fit as rising values
    can have), then energy is interpolated linearly between prices; below the first price it is that price's, and where
    no price reaches the accuracy it is infinite. The 95 % percentile interval draws seeds and episodes anew (crossed).

    Args:
        accuracy, energy: (S, P, E) at rising prices; base_accuracy, base_energy: (E,) on the same episodes.
    """

    def change(seeds: np.ndarray, episodes: np.ndarray) -> float:
        used = seeds > 0
        reached = base_accuracy @ episodes
        found = [
            _energy_at(reached, isotonic_regression(curve).x, spent)
            for curve, spent in zip(accuracy[used] @ episodes, energy[used] @ episodes, strict=True)
        ]
        return 100 * (float(seeds[used] @ found) / float(base_energy @ episodes) - 1)

    return crossed_bootstrap(change, len(accuracy), accuracy.shape[-1])


def _energy_at(accuracy: float, reached: np.ndarray, energy: np.ndarray) -> float:
    """Linear interpolation of energies (P,) at rising accuracies (P,)."""
    return float(np.interp(accuracy, reached, energy, right=np.inf))


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

"""Means and paired differences of rows with 95 % intervals: bootstrap over episodes, Student's t over a few seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap
from scipy.stats import t as student

from dmoe_gym.evaluation.run import Row

CONFIDENCE = 0.95
RESAMPLES = 4999


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval; `of` makes percentile bootstrap ones over episodes."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> Interval:
        """The percentile bootstrap interval of a mean over episodes; its ends equal it for one value or no spread."""
        sample = np.asarray(values, float)
        mean = float(sample.mean())
        if len(sample) < 2 or np.ptp(sample) == 0 or not np.isfinite(sample).all():
            return cls(mean, mean, mean)
        # a generator of its own: the same rows give the same interval
        result = bootstrap(
            (sample,),
            np.mean,
            confidence_level=CONFIDENCE,
            n_resamples=RESAMPLES,
            method="percentile",
            rng=np.random.default_rng(0),
        )
        return cls(mean, float(result.confidence_interval.low), float(result.confidence_interval.high))

    @classmethod
    def of_few(cls, values: Sequence[float] | np.ndarray) -> Interval:
        """Student's interval of a mean over a few independent runs, where a bootstrap would be too narrow.

        Raises:
            ValueError: for fewer than two values.
        """
        sample = np.asarray(values, float)
        if len(sample) < 2:
            raise ValueError(f"values: has {len(sample)} entries, valid are at least two")
        mean = float(sample.mean())
        half_width = float(student.ppf((1 + CONFIDENCE) / 2, len(sample) - 1) * sample.std(ddof=1) / len(sample) ** 0.5)
        return cls(mean, mean - half_width, mean + half_width)

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies on that side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def __format__(self, spec: str) -> str:
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


@dataclass(frozen=True)
class Comparison:
    """One policy beside a reference on the same episodes.

    Fields: the policy's mean; its paired difference to the reference (negative: lower cost); the ratio of the
    means minus one; the number of episodes.
    """

    policy: str
    metric: str
    value: Interval
    difference: Interval
    relative: float
    episodes: int


def by_policy(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows grouped by policy, in order of first appearance, each group sorted by seed."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["policy"], []).append(row)
    return {name: sorted(group, key=lambda row: row["seed"]) for name, group in groups.items()}


def compare(rows: Iterable[Row], reference: str, metric: str = "cost") -> list[Comparison]:
    """Every policy's paired difference to a reference, with 95 % bootstrap intervals over episodes.

    Args:
        rows: from `evaluate`, of several policies on the same seeds.
        reference: the policy that the others are compared to.
        metric: a key of the rows.

    Raises:
        ValueError: without rows; if the reference or the metric is not in them, or a policy ran on other seeds.
    """
    groups = by_policy(rows)
    if not groups:
        raise ValueError("rows = []: valid are rows of `evaluate`, of at least one policy")
    if reference not in groups:
        raise ValueError(f"reference = {reference!r}: valid are {', '.join(groups)}")
    seeds = [row["seed"] for row in groups[reference]]
    if metric not in groups[reference][0]:
        raise ValueError(f"metric = {metric!r}: valid are {', '.join(groups[reference][0])}")
    base = np.array([row[metric] for row in groups[reference]], float)
    comparisons = []
    for name, group in groups.items():
        if [row["seed"] for row in group] != seeds:
            raise ValueError(f"policy {name!r} ran on other seeds than {reference!r}: differences would not be paired")
        values = np.array([row[metric] for row in group], float)
        comparisons.append(
            Comparison(
                policy=name,
                metric=metric,
                value=Interval.of(values),
                difference=Interval.of(values - base),
                relative=float(values.mean() / base.mean() - 1) if base.mean() else float("nan"),
                episodes=len(seeds),
            )
        )
    return comparisons

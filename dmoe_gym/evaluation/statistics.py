"""Means and paired differences with 95 % intervals: the statistics of every table.

An interval is over what was drawn at random: episodes, training seeds, images, queries. A value that belongs to several
of them at once (an answer to one image in one episode under one training seed) is no independent draw of any: `units`
names the draw of each kind that every value belongs to, and they are drawn anew kind by kind, crossed with each other
(the pigeonhole bootstrap: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007).

rliable (Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021) was
looked at first: it resamples runs per task as if tasks shared nothing, which would give intervals too narrow here, and
pins an old `arch` with statsmodels and seaborn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from dmoe_gym.evaluation.run import Row

CONFIDENCE = 0.95
# of episodes alone, and of several kinds of draws at once
RESAMPLES, CROSSED_RESAMPLES = 4999, 2000
# Resamples that are weighed together: memory.
_CHUNK = 100
Units = Sequence[np.ndarray]


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval; ends are NaN where one draw alone says nothing of the spread."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray, units: Units | None = None) -> Interval:
        """The percentile bootstrap interval of a mean; its ends equal the mean where values have no spread.

        Args:
            values: (A,).
            units: of every kind of draw the one that each value belongs to, (A,) each; None where every value is one.

        Raises:
            ValueError: without values, or if units are of another number of values.
        """
        return _ratio(np.asarray(values, float), None, units)

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies on that side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def __mul__(self, factor: float) -> Interval:
        ends = sorted((self.low * factor, self.high * factor))
        return Interval(self.mean * factor, *ends)

    def brackets(self, spec: str) -> str:
        """The ends as text; empty where there are none."""
        return "" if np.isnan(self.low) else f"[{self.low:{spec}}, {self.high:{spec}}]"

    def __format__(self, spec: str) -> str:
        return f"{self.mean:{spec}} {self.brackets(spec)}".rstrip()


@dataclass(frozen=True)
class Comparison:
    """One policy beside a reference on the same episodes.

    Attributes:
        policy, metric: whose, and which figure of the rows.
        value: the policy's mean.
        difference: to the reference, paired (negative: lower cost).
        relative: ratio of the means minus one.
        episodes: how many both ran.
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
        metric: a key of the reference's rows; policies and bounds without it are left out.

    Raises:
        ValueError: without rows; if the reference or the metric is not in them, or a policy ran on other seeds, on one
            of them twice, or in another configuration.
    """
    groups = by_policy(rows)
    if not groups:
        raise ValueError("rows = []: valid are rows of `evaluate`, of at least one policy")
    if reference not in groups:
        raise ValueError(f"reference = {reference!r}: valid are {', '.join(groups)}")
    seeds = [row["seed"] for row in groups[reference]]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"rows: {reference!r} ran on a seed twice; valid is one row per policy and seed")
    if metric not in groups[reference][0]:
        raise ValueError(f"metric = {metric!r}: valid are {', '.join(groups[reference][0])}")
    base = column(groups[reference], metric)
    comparisons = []
    for name, group in groups.items():
        if [row["seed"] for row in group] != seeds:
            raise ValueError(f"policy {name!r} ran on other seeds than {reference!r}: differences would not be paired")
        places = {row["configuration"]: row for row in (*groups[reference], *group) if "configuration" in row}
        if len(places) > 1:
            where = " and ".join(f"{row['env_id']} {row['scenario']}" for row in places.values())
            raise ValueError(
                f"policy {name!r} ran in another configuration than {reference!r} ({where}, with overrides): "
                "differences would not be paired"
            )
        if any(metric not in row for row in group):
            continue
        values = column(group, metric)
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


def column(rows: Iterable[Row], metric: str) -> np.ndarray:
    """(E,) one metric of rows, in their order."""
    return np.array([row[metric] for row in rows], float)


def seed_matrix(rows: Iterable[Row], metric: str, stated: Sequence[int], name: str = "rows") -> np.ndarray:
    """(seeds, episodes) values of one scheduler, in the order of `stated` and of rising episodes.

    Args:
        rows: each with `run_seed`, `seed` (the episode's) and the metric.
        stated: the training seeds that a table will claim.
        name: how messages call the rows.

    Raises:
        ValueError: if a stated seed has no rows, or the seeds' episodes differ: no result is reported from fewer seeds
            than stated; if a seed is stated twice or has an episode twice: no draw counts as two.
    """
    if len(set(stated)) < len(stated):
        raise ValueError(f"{name}: seeds = {list(stated)}, valid is each of them once")
    by_seed: dict[int, dict[int, float]] = {}
    for row in rows:
        episodes_of = by_seed.setdefault(row["run_seed"], {})
        if row["seed"] in episodes_of:
            raise ValueError(f"{name}: seed {row['run_seed']} has episode {row['seed']} twice")
        episodes_of[row["seed"]] = float(row[metric])
    missing = [seed for seed in stated if seed not in by_seed]
    if missing or not stated:
        have = len(stated) - len(missing)
        raise ValueError(f"{name}: {have} of {len(stated)} seeds, missing are {', '.join(map(str, missing)) or 'all'}")
    episodes = sorted(by_seed[stated[0]])
    for seed in stated:
        if sorted(by_seed[seed]) != episodes:
            raise ValueError(f"{name}: seed {seed} ran on other episodes than seed {stated[0]}")
    return np.array([[by_seed[seed][episode] for episode in episodes] for seed in stated])


def two_way_mean(values: np.ndarray) -> Interval:
    """The mean over seeds x episodes and its 95 % interval for new seeds and new episodes.

    Two-way random effects without replication: the mean's variance is (MS_seeds + MS_episodes - MS_rest) / (S E), its
    degrees of freedom are Satterthwaite's. It may not be estimated below either effect's own share. With one seed or
    one episode this is Student's interval over the other.

    Args:
        values: (S, E), as paired differences.
    """
    values = np.atleast_2d(np.asarray(values, float))
    mean = float(values.mean())
    seeds, episodes = values.shape
    if not np.isfinite(values).all() or values.size == 1:
        return Interval(mean, np.nan, np.nan)
    of_seeds, of_episodes = values.mean(1), values.mean(0)
    rest = values - of_seeds[:, None] - of_episodes + mean
    freedom = np.array([seeds - 1, episodes - 1, (seeds - 1) * (episodes - 1)], float)
    sums_of_squares = np.array(
        [episodes * ((of_seeds - mean) ** 2).sum(), seeds * ((of_episodes - mean) ** 2).sum(), (rest**2).sum()]
    )
    squares = np.divide(sums_of_squares, freedom, out=np.zeros(3), where=freedom > 0)
    total = max(squares[0] + squares[1] - squares[2], squares[0], squares[1])
    terms = np.divide(squares**2, freedom, out=np.zeros(3), where=freedom > 0)
    if total == 0:
        return Interval(mean, mean, mean)
    error, freedom = float(np.sqrt(total / values.size)), total**2 / terms.sum()
    low, high = stats.t.interval(CONFIDENCE, freedom, loc=mean, scale=error)
    return Interval(mean, float(low), float(high))


def paired_difference(values: np.ndarray, reference: np.ndarray) -> Interval:
    """Mean difference of a scheduler's (S, E) values to a reference's (E,) on the same episodes (`two_way_mean`).

    Raises:
        ValueError: if the reference has another number of episodes.
    """
    values, reference = np.atleast_2d(values), np.asarray(reference, float)
    if reference.shape != values.shape[1:]:
        raise ValueError(f"reference: has shape {reference.shape}, valid is {values.shape[1:]}, one value per episode")
    return two_way_mean(values - reference)


def paired_percent(values: np.ndarray, reference: np.ndarray) -> Interval:
    """`paired_difference` in percent of the reference's mean, which counts as given; NaN where that is 0.

    Raises:
        ValueError: as `paired_difference`.
    """
    mean = float(np.mean(reference))
    return paired_difference(values, reference) * (100 / mean if mean else np.nan)


def percent_change(
    values: np.ndarray, base: np.ndarray, *, unit: float | None = None, units: Units | None = None
) -> Interval:
    """How far the mean of values is above the mean of a base, paired, in percent, with its bootstrap interval.

    Args:
        values, base: (A,) of the same episodes, prompts, answers.
        unit: what 100 % is, where that is a given number; by default the base's mean, drawn anew with it.
        units: as in `Interval.of`.

    Raises:
        ValueError: if the two have different numbers of values.
    """
    values, base = np.asarray(values, float), np.asarray(base, float)
    if values.shape != base.shape:
        raise ValueError(f"base: has shape {base.shape}, valid is {values.shape}, one value per pair")
    if unit is not None:
        return Interval.of(100 * (values - base) / unit, units)
    return _ratio(100 * (values - base), base, units)


def _ratio(numerator: np.ndarray, denominator: np.ndarray | None, units: Units | None) -> Interval:
    """Mean of the numerator over that of the denominator (1 where there is none), bootstrapped together."""
    parts = (numerator,) if denominator is None else (numerator, denominator)
    if not len(numerator):
        raise ValueError("values = []: valid is at least one")
    if denominator is not None and not denominator.mean():
        return Interval(np.nan, np.nan, np.nan)
    estimate = float(_quotient(*parts))
    draws = [numerator] if units is None else [np.unique(labels) for labels in units]
    if max(map(len, draws)) < 2 or not all(np.isfinite(part).all() for part in parts):
        return Interval(estimate, np.nan, np.nan)
    if not numerator.any() or all(np.ptp(part) == 0 for part in parts):
        return Interval(estimate, estimate, estimate)
    if units is not None:
        means = _crossed_means(np.stack(parts, 1), units)
        drawn = means[:, 0] if denominator is None else means[:, 0] / means[:, 1]
        # a few values may all be left out of a resample: it has no mean
        low, high = np.nanquantile(drawn, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
        return Interval(estimate, float(low), float(high))
    # a generator of its own: the same rows give the same interval
    result = stats.bootstrap(
        parts,
        _quotient,
        paired=True,
        vectorized=True,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return Interval(estimate, float(result.confidence_interval.low), float(result.confidence_interval.high))


def _quotient(numerator: np.ndarray, denominator: np.ndarray | None = None, axis: int = -1) -> np.ndarray:
    return numerator.mean(axis) if denominator is None else numerator.mean(axis) / denominator.mean(axis)


def _crossed_means(values: np.ndarray, units: Units) -> np.ndarray:
    """(CROSSED_RESAMPLES, T) means of the columns of values (A, T), every kind of unit drawn anew.

    A value counts as often as all its units together were drawn: the product of their counts.
    """
    sizes, places = [], []
    for labels in units:
        known, place = np.unique(labels, return_inverse=True)
        if len(place) != len(values):
            raise ValueError(f"units: has {len(place)} labels, valid are {len(values)}, one per value")
        sizes.append(len(known))
        places.append(place)
    weights = _resample_counts(tuple(sizes))
    means = np.empty((CROSSED_RESAMPLES, values.shape[1]))
    for first in range(0, CROSSED_RESAMPLES, _CHUNK):
        part = slice(first, first + _CHUNK)
        drawn = np.ones((len(weights[0][part]), len(values)))
        for counts, place in zip(weights, places, strict=True):
            drawn *= counts[part][:, place]
        with np.errstate(invalid="ignore"):
            means[part] = drawn @ values / drawn.sum(1, keepdims=True)
    return means


@lru_cache(maxsize=4)
def _resample_counts(sizes: tuple[int, ...]) -> list[np.ndarray]:
    """Of every kind of unit (CROSSED_RESAMPLES, size): how often each one is drawn."""
    generator = np.random.default_rng(0)
    counts = [generator.multinomial(size, np.full(size, 1 / size), CROSSED_RESAMPLES) for size in sizes]
    return [kind.astype(np.min_scalar_type(kind.max())) for kind in counts]

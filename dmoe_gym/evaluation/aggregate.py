"""Statistics over training seeds x held-out episodes, for schedulers whose training is random.

Every seed's run meets the same episodes, so a value belongs to a seed and an episode at once, and neither rows nor
columns are independent draws of values: intervals here treat seeds and episodes as two crossed random effects.

rliable (Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021) was
looked at first: it resamples runs per task as if tasks shared nothing, which would give intervals too narrow here, and
pins an old `arch` with statsmodels and seaborn. The interquartile mean is SciPy's trimmed mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from scipy import stats

from dmoe_gym.evaluation.run import Row
from dmoe_gym.evaluation.statistics import CONFIDENCE, Interval

RESAMPLES = 2000


def seed_matrix(rows: Iterable[Row], metric: str, stated: Sequence[int], name: str = "rows") -> np.ndarray:
    """(seeds, episodes) values of one scheduler, in the order of `stated` and of rising episodes.

    Args:
        rows: each with `run_seed`, `seed` (the episode's) and the metric.
        stated: the training seeds that a table will claim.
        name: how messages call the rows.

    Raises:
        ValueError: if a stated seed has no rows, or the seeds' episodes differ: no result is reported from fewer seeds
            than stated.
    """
    by_seed: dict[int, dict[int, float]] = {}
    for row in rows:
        by_seed.setdefault(row["run_seed"], {})[row["seed"]] = float(row[metric])
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
    seeds, episodes = values.shape
    mean = float(values.mean())
    if not np.isfinite(values).all() or values.size == 1:
        return Interval(mean, mean, mean)
    of_seeds, of_episodes = values.mean(1), values.mean(0)
    rest = values - of_seeds[:, None] - of_episodes + mean
    freedom = np.array([seeds - 1, episodes - 1, (seeds - 1) * (episodes - 1)], float)
    sums = np.array(
        [episodes * ((of_seeds - mean) ** 2).sum(), seeds * ((of_episodes - mean) ** 2).sum(), (rest**2).sum()]
    )
    squares = np.divide(sums, freedom, out=np.zeros(3), where=freedom > 0)
    total = max(squares[0] + squares[1] - squares[2], squares[0], squares[1])
    if total == 0:
        return Interval(mean, mean, mean)
    terms = np.divide(squares**2, freedom, out=np.zeros(3), where=freedom > 0)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, total**2 / terms.sum()) * np.sqrt(total / values.size)
    return Interval(mean, mean - float(half), mean + float(half))


def paired_difference(values: np.ndarray, reference: np.ndarray) -> Interval:
    """Mean difference of a scheduler's (S, E) values to a reference's (E,) on the same episodes (`two_way_mean`).

    Raises:
        ValueError: if the reference has another number of episodes.
    """
    values, reference = np.atleast_2d(values), np.asarray(reference, float)
    if reference.shape != values.shape[1:]:
        raise ValueError(f"reference: has shape {reference.shape}, valid is {values.shape[1:]}, one value per episode")
    return two_way_mean(values - reference)


def interquartile_mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Mean of the middle half of the values (25 % trimmed from each end), which one failed run does not move."""
    return stats.trim_mean(values, 0.25, axis=axis)


def stratified_interquartile_mean(scores: Mapping[str, np.ndarray]) -> Interval:
    """Interquartile mean over all scores, with its 95 % percentile bootstrap interval stratified by key.

    Args:
        scores: one score per seed, by scenario; seeds are drawn anew within each scenario.
    """
    generator = np.random.default_rng(0)  # the same scores give the same interval
    strata = [np.asarray(values, float) for values in scores.values()]
    drawn = [values[generator.integers(len(values), size=(RESAMPLES, len(values)))] for values in strata]
    return _percentiles(float(interquartile_mean(np.concatenate(strata))), interquartile_mean(np.hstack(drawn), axis=1))


def probability_of_improvement(costs: np.ndarray, reference: np.ndarray) -> Interval:
    """Probability that on a random episode a random seed's run costs less than the reference's; ties count one half.

    The 95 % percentile bootstrap interval draws seeds of both and episodes anew (crossed).

    Args:
        costs: (S, E).
        reference: (T, E), or (E,) of a scheduler that is not trained.

    Raises:
        ValueError: if they have different numbers of episodes.
    """
    costs, reference = np.atleast_2d(costs), np.atleast_2d(reference)
    if costs.shape[1] != reference.shape[1]:
        raise ValueError(f"reference: {reference.shape[1]} episodes, valid are the scheduler's {costs.shape[1]}")
    wins = (costs[:, None] < reference) + 0.5 * (costs[:, None] == reference)  # (S, T, E)
    generator = np.random.default_rng(0)
    own, others, episodes = (_weights(generator, size) for size in wins.shape)
    return _percentiles(float(wins.mean()), np.einsum("ste,rs,rt,re->r", wins, own, others, episodes, optimize=True))


def performance_profile(values: np.ndarray, thresholds: np.ndarray) -> list[Interval]:
    """Share of seeds x episodes whose value is at most each threshold, with pointwise 95 % crossed bootstrap intervals.

    Args:
        values: (S, E), as gaps to a bound: less is better.
        thresholds: (T,).
    """
    values = np.atleast_2d(values)
    below = values[..., None] <= np.asarray(thresholds)  # (S, E, T)
    generator = np.random.default_rng(0)
    seeds, episodes = (_weights(generator, size) for size in values.shape)
    drawn = np.einsum("set,rs,re->rt", below.astype(float), seeds, episodes, optimize=True)
    return [_percentiles(float(share), column) for share, column in zip(below.mean((0, 1)), drawn.T, strict=True)]


def crossed_bootstrap(statistic: Callable[[np.ndarray, np.ndarray], float], seeds: int, episodes: int) -> Interval:
    """A figure over seeds x episodes with its 95 % percentile interval, both drawn anew (crossed).

    Args:
        statistic: of the weights of seeds (S,) and of episodes (E,), each of sum 1; may be infinite.
    """
    generator = np.random.default_rng(0)
    own, shared = (_weights(generator, size) for size in (seeds, episodes))
    estimate = statistic(np.full(seeds, 1 / seeds), np.full(episodes, 1 / episodes))
    return _percentiles(estimate, np.array([statistic(*drawn) for drawn in zip(own, shared, strict=True)]))


def _weights(generator: np.random.Generator, size: int) -> np.ndarray:
    """(RESAMPLES, size): how often each of `size` is drawn, as a share."""
    return generator.multinomial(size, np.full(size, 1 / size), RESAMPLES) / size


def _percentiles(estimate: float, drawn: np.ndarray) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    # between two infinite values there is nothing to interpolate
    low, high = np.quantile(drawn, (tail, 1 - tail), method="linear" if np.isfinite(drawn).all() else "inverted_cdf")
    return Interval(estimate, float(low), float(high))

"""Statistics over seeds x episodes, against closed forms and by simulated coverage."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from dmoe_gym.evaluation import (
    Interval,
    compare,
    paired_difference,
    paired_percent,
    percent_change,
    seed_matrix,
    two_way_mean,
)
from dmoe_gym.evaluation.table import two_lines


def axes(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Units of the entries of an array, flat, whose every axis is a kind of draw."""
    return list(np.indices(shape).reshape(len(shape), -1))


def _student(values: np.ndarray) -> tuple[float, float]:
    return stats.ttest_1samp(values, 0).confidence_interval(0.95)


@pytest.mark.parametrize("across", ["seeds", "episodes"])
def test_one_effect_alone_gives_students_interval(across: str) -> None:
    """Seeds that agree in every episode tell no more than one of them; likewise episodes."""
    values = np.random.default_rng(1).normal(size=12)
    matrix = np.tile(values, (5, 1)) if across == "episodes" else np.tile(values[:, None], (1, 5))
    for sample in (matrix, values[None] if across == "episodes" else values[:, None]):
        interval = two_way_mean(sample)
        np.testing.assert_allclose((interval.low, interval.high), _student(values), rtol=1e-9)
    assert two_way_mean(np.full((3, 4), 2.5)).low == two_way_mean(np.full((3, 4), 2.5)).high == 2.5


@pytest.mark.parametrize(
    ("seed_spread", "episode_spread", "rest"),
    [(1.0, 0.0, 0.3), (0.0, 1.0, 0.3), (0.0, 0.0, 1.0), (0.5, 2.0, 1.0), (1.0, 1.0, 1.0)],
)
def test_coverage_of_the_mean(seed_spread: float, episode_spread: float, rest: float) -> None:
    """Of 95 % intervals about 95 % hold the true mean, whichever effect dominates; 5 seeds, 40 episodes."""
    generator = np.random.default_rng(2)
    repetitions = 1500
    covered = 0
    for _ in range(repetitions):
        values = (
            3
            + seed_spread * generator.normal(size=(5, 1))
            + episode_spread * generator.normal(size=(1, 40))
            + rest * generator.normal(size=(5, 40))
        )
        interval = two_way_mean(values)
        covered += interval.low <= 3 <= interval.high
    # the estimate may not fall below either effect's share, which makes it wide where both are nought
    assert 0.93 <= covered / repetitions <= (1 if seed_spread == episode_spread == 0 else 0.975)


def test_the_mean_has_the_variance_of_two_random_effects() -> None:
    """(MS of rows + MS of columns - MS of the rest) / (S E), with Satterthwaite's degrees of freedom, by hand."""
    values = np.array([[0.0, 2.0, 4.0, 6.0], [1.0, 3.0, 6.0, 8.0], [5.0, 7.0, 9.0, 13.0]])
    rows, columns, mean = values.mean(1), values.mean(0), values.mean()
    squares = np.array([4 * np.var(rows, ddof=1), 3 * np.var(columns, ddof=1), 0.0])
    squares[2] = (np.sum((values - mean) ** 2) - 2 * squares[0] - 3 * squares[1]) / 6
    assert squares[:2].min() > 3 * squares[2] > 0  # so that neither effect alone is the larger estimate
    total = squares[0] + squares[1] - squares[2]
    freedom = total**2 / (squares**2 / [2, 3, 6]).sum()
    half = stats.t.ppf(0.975, freedom) * np.sqrt(total / 12)
    interval = two_way_mean(values)
    np.testing.assert_allclose((interval.mean, interval.low, interval.high), mean + half * np.array([0, -1, 1]))


@pytest.mark.parametrize("turned", [False, True])
def test_the_mean_is_no_surer_than_one_effect_alone_lets_it_be(turned: bool) -> None:
    """Rows that cancel in every column but for a little: the rest is the larger, the estimate that of the columns."""
    values = np.array([[0.0, 8.0, 1.0], [9.0, 1.0, 10.0]])
    squares = np.array([3 * np.var(values.mean(1), ddof=1), 2 * np.var(values.mean(0), ddof=1), 0.0])
    squares[2] = (np.sum((values - values.mean()) ** 2) - squares[0] - 2 * squares[1]) / 2
    assert squares[2] > max(squares[:2])
    total = max(squares[:2])
    freedom = total**2 / (squares**2 / [1, 2, 2]).sum()
    interval = two_way_mean(values.T if turned else values)
    assert interval.high - interval.mean == pytest.approx(stats.t.ppf(0.975, freedom) * np.sqrt(total / 6))


def test_naive_intervals_would_not_cover() -> None:
    """What the crossed interval is for: values pooled as if independent cover far less."""
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        values = generator.normal(size=(5, 1)) + generator.normal(size=(5, 40))
        low, high = _student(values.ravel())
        covered += low <= 0 <= high
    assert covered / 400 < 0.6


def test_paired_difference_is_that_of_pairs() -> None:
    reference = np.array([1.0, 5.0, 9.0])
    interval = paired_difference(reference + np.array([[0.1], [0.1]]), reference)
    np.testing.assert_allclose((interval.mean, interval.low, interval.high), 0.1)
    with pytest.raises(ValueError, match="reference"):
        paired_difference(np.zeros((2, 3)), np.zeros(4))


def test_no_result_from_fewer_seeds_than_stated() -> None:
    rows = [{"run_seed": run, "seed": episode, "cost": 10 * run + episode} for run in (2, 0) for episode in (8, 7)]
    np.testing.assert_array_equal(seed_matrix(rows, "cost", [0, 2]), [[7, 8], [27, 28]])
    with pytest.raises(ValueError, match=r"mine: 2 of 3 seeds, missing are 1"):
        seed_matrix(rows, "cost", [0, 1, 2], "mine")
    with pytest.raises(ValueError, match="other episodes"):
        seed_matrix(rows[:-1], "cost", [0, 2])
    with pytest.raises(ValueError, match="0 of 0 seeds"):
        seed_matrix(rows, "cost", [])


def test_crossed_draws_have_the_spread_of_both_effects() -> None:
    """Of a mean: resampled n values spread by their population deviation / sqrt(n), whichever effect they belong to."""
    generator = np.random.default_rng(5)
    of_seeds, of_episodes = generator.normal(size=60), generator.normal(size=300)
    spreads = [of_seeds.std() / 60**0.5, of_episodes.std() / 300**0.5]
    matrices = [np.tile(of_seeds[:, None], (1, 300)), np.tile(of_episodes, (60, 1))]
    for matrix, spread in [*zip(matrices, spreads, strict=True), (sum(matrices), float(np.hypot(*spreads)))]:
        interval = Interval.of(matrix.ravel(), axes(matrix.shape))
        assert interval.mean == pytest.approx(matrix.mean())
        assert interval.high - interval.low == pytest.approx(2 * 1.96 * spread, rel=0.1)


@pytest.mark.parametrize("values", [[0.0, 1.0, 5.0], [1.0, 2.0, 4.0, 8.0]])
def test_the_bootstrap_is_that_of_all_resamples(values: list[float]) -> None:
    """Of n values there are n^n resamples: the percentiles of their means, enumerated, within a step of them."""
    means = np.sort([np.mean(drawn) for drawn in product(values, repeat=len(values))])
    exact = np.quantile(means, (0.025, 0.975), method="inverted_cdf")
    steps = np.unique(means.round(9))
    for interval in (Interval.of(values), Interval.of(values, [np.arange(len(values))])):
        for found, end in zip((interval.low, interval.high), exact, strict=True):
            near = abs(int(np.abs(steps - found).argmin()) - int(np.abs(steps - end).argmin()))
            assert near <= 1


def test_percent_change_is_that_of_all_resamples() -> None:
    values, base = np.array([1.0, 2.0, 6.0]), np.array([2.0, 2.0, 5.0])
    drawn = [list(places) for places in product(range(3), repeat=3)]
    exact = np.sort([100 * (values[places].mean() / base[places].mean() - 1) for places in drawn])
    interval = percent_change(values, base)
    assert interval.mean == pytest.approx(0)
    assert exact[0] - 1e-9 <= interval.low <= np.quantile(exact, 0.05)
    assert np.quantile(exact, 0.95) - 1e-9 <= interval.high <= exact[-1] + 1e-9
    # what 100 % is may be given: then only the differences vary
    assert percent_change(base + 0.5, base, unit=2.0) == Interval(25.0, 25.0, 25.0)
    given = percent_change(values, base, unit=2.0)
    assert given == Interval.of(50 * (values - base))
    assert given.low < 0 < given.high
    assert percent_change(base, base) == Interval(0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="base"):
        percent_change(values, base[:2])


def test_answers_that_share_images_tell_less() -> None:
    """8 answers to each of 50 images that agree: the interval is that of 50 values, sqrt(8) times as wide."""
    generator = np.random.default_rng(8)
    image = np.tile(np.arange(50), 8)
    values = generator.normal(size=50)[image]
    naive, by_image = Interval.of(values), Interval.of(values, [image])
    assert by_image.high - by_image.low == pytest.approx(8**0.5 * (naive.high - naive.low), rel=0.1)
    crossed = Interval.of(values, [image, np.arange(len(values)) // 4])
    assert crossed.high - crossed.low > 0.95 * (by_image.high - by_image.low)


def test_coverage_where_answers_share_images_and_episodes() -> None:
    """Image and episode effects, 400 answers: crossed intervals hold the true mean, those over answers do not."""
    generator = np.random.default_rng(9)
    episode = np.repeat(np.arange(80), 5)
    covered = np.zeros(2)
    for _ in range(200):
        image = generator.integers(40, size=400)
        values = generator.normal(size=40)[image] + 0.5 * generator.normal(size=80)[episode]
        values += generator.normal(size=400)
        intervals = [Interval.of(values, [image, episode]), Interval.of(values, [np.arange(400)])]
        covered += [interval.low <= 0 <= interval.high for interval in intervals]
    assert covered[0] / 200 >= 0.92
    assert covered[1] / 200 < 0.7


def test_the_sign_of_an_interval_that_touches_zero_is_none() -> None:
    signs = {(0.1, 0.2): 1, (0.0, 0.2): 0, (-0.1, 0.1): 0, (-0.1, 0.0): 0, (-0.2, -0.1): -1}
    assert {ends: Interval(sum(ends) / 2, *ends).sign for ends in signs} == signs


def test_ratios_are_resampled_by_unit_as_means_are() -> None:
    """Values and base that are proportional: every resample has the same ratio, whatever the units."""
    base = np.array([1.0, 2.0, 4.0, 8.0])
    interval = percent_change(1.5 * base, base, units=[np.array([0, 0, 1, 1])])
    np.testing.assert_allclose((interval.mean, interval.low, interval.high), 50)


def test_units_name_every_value() -> None:
    with pytest.raises(ValueError, match="units"):
        Interval.of([1.0, 2.0, 3.0], [np.arange(2)])
    with pytest.raises(ValueError, match="values"):
        Interval.of([])


@pytest.mark.parametrize(
    "interval",
    [
        Interval.of([2.0]),
        Interval.of([1.0, 3.0], [np.zeros(2)]),
        Interval.of([2.0, 2.0], [np.zeros(2), np.zeros(2)]),
        two_way_mean(np.array([[2.0]])),
        percent_change(np.array([1.02]), np.array([1.0])),
        percent_change(np.array([1.02, 2.04]), np.array([1.0, 2.0]), units=[np.zeros(2)]),
        paired_difference(np.array([[3.0]]), np.array([1.0])),
    ],
)
def test_one_draw_says_nothing_of_the_spread(interval: Interval) -> None:
    """One image, one episode, one seed: a mean, no ends and no sign; many values that agree have no spread."""
    assert interval.mean == pytest.approx(2)
    assert np.isnan([interval.low, interval.high]).all()
    assert interval.sign == 0
    assert f"{interval:+.1f}" == two_lines(interval, "+.1f") == "+2.0"
    assert f"{Interval(2.0, 1.0, 3.0):.1f}" == "2.0 [1.0, 3.0]"
    assert Interval.of([2.0, 2.0]) == Interval(2.0, 2.0, 2.0)


def test_percent_of_nothing_is_no_number() -> None:
    zero, values = np.zeros(3), np.array([0.0, 1.0, 2.0])
    for interval in (percent_change(values, zero), paired_percent(values, zero)):
        assert np.isnan([interval.mean, interval.low, interval.high]).all()


def test_no_draw_counts_as_two() -> None:
    """The order of rows decides nothing, and a row that stands twice is no second draw."""
    rows = [
        {"policy": policy, "run_seed": 0, "seed": seed, "cost": cost + seed**2}
        for policy, cost in (("a", 1.0), ("b", 2.0))
        for seed in range(5)
    ]
    shuffled = [rows[place] for place in np.random.default_rng(0).permutation(10)]
    assert compare(rows, "a")[1].difference == compare(shuffled, "a")[-1].difference == Interval(1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="'a' ran on a seed twice"):
        compare([*rows, *rows], "a")
    with pytest.raises(ValueError, match="seed 0 has episode 0 twice"):
        seed_matrix(rows, "cost", [0])
    with pytest.raises(ValueError, match=r"seeds = \[0, 0\], valid is each of them once"):
        seed_matrix(rows[:5], "cost", [0, 0])

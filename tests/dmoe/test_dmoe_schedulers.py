"""JESA, the exact optimum, the lower bound, top-k: their order, exactness against enumeration, symmetry."""

from __future__ import annotations

import numpy as np
import pytest
from dmoe_builders import configs, draw_round, generators, rounds, scenario_rounds
from dmoe_reference import every_schedule, optimal_cost
from hypothesis import given, settings
from hypothesis import strategies as st

from dmoe_gym.dmoe import (
    DMoEConfig,
    Round,
    Schedule,
    allocate_subcarriers,
    check,
    cost,
    homogeneous,
    lower_bound,
    scenario,
    solve_des,
    solve_exact,
    solve_jesa,
    top_k,
)
from dmoe_gym.dmoe.solvers.heuristics import channel_greedy, des_with_best_subcarriers

ROUNDING = 1e-9


@settings(max_examples=80)
@given(rounds())
def test_bound_exact_jesa_and_its_first_iterate_in_this_order(round):
    best = cost(round, solve_exact(round))
    first, second, last = (cost(round, solve_jesa(round, max_iterations=count)) for count in (1, 2, 20))
    assert lower_bound(round) <= best * (1 + ROUNDING) + ROUNDING
    assert best <= last + ROUNDING
    assert last <= second <= first
    for other in (channel_greedy, des_with_best_subcarriers, lambda round: top_k(round, round.config.max_experts)):
        assert best <= cost(round, other(round)) + ROUNDING


@settings(max_examples=60)
@given(rounds(configs(experts=(2, 3), states=(1, 2), subcarriers=(1, 3))))
def test_exact_equals_enumeration_of_all_schedules(round):
    """With any number of subcarriers per link; those with several never win."""
    found, best = cost(round, solve_exact(round)), optimal_cost(round)
    assert best - ROUNDING <= found <= best * (1 + 1e-7) + 1e-7
    assert optimal_cost(round, several=True) == pytest.approx(best, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("subcarriers", [1, 2])
def test_the_enumeration_by_hidden_states_equals_the_plain_one(subcarriers):
    """`optimal_cost` uses that hidden states do not interact; here every schedule is costed, one by one."""
    generator = np.random.default_rng(6)
    config = DMoEConfig(num_experts=2, num_states=2, num_subcarriers=subcarriers, shortfall_price=3.0)
    schedules = every_schedule(config, several=True)
    assert len(schedules) == 3**4 * 3**subcarriers
    for _ in range(3):
        round = draw_round(config, generator)
        plain = min(cost(round, schedule) for schedule in schedules)
        assert optimal_cost(round, several=True) == pytest.approx(plain, rel=1e-9)


@settings(max_examples=60)
@given(generators(), st.sampled_from([3.0, 1e6]))
def test_the_bound_is_attained_where_best_subcarriers_are_distinct(generator, price):
    config = DMoEConfig(num_experts=4, num_states=2, num_subcarriers=12, shortfall_price=price)
    drawn = draw_round(config, generator)
    gains = drawn.gains.copy()
    links = np.argwhere(~np.eye(4, dtype=bool))
    for (i, j), m in zip(links, generator.permutation(12), strict=True):
        gains[i, j, m] += gains[i, j].max()
    round = Round(drawn.gate_scores, gains, drawn.threshold, config)
    bound = lower_bound(round)
    assert cost(round, solve_exact(round)) == pytest.approx(bound, rel=1e-12)
    if price == 1e6:  # no shortfall is worth it: the hard threshold of DES has the same optimum
        assert cost(round, solve_jesa(round)) == pytest.approx(bound, rel=1e-9)


def test_the_bound_is_below_the_optimum_where_two_links_want_one_subcarrier():
    """Both nodes need the other's expert over the one good subcarrier: one pays twice, the bound does not see it."""
    config = DMoEConfig(num_experts=2, num_states=1, num_subcarriers=2, max_experts=1, mean_snr_db=0.0)
    scores = np.array([[[0.1, 0.9]], [[0.9, 0.1]]])
    round = Round(scores, np.broadcast_to([3.0, 1.0], (2, 2, 2)), 0.5, config)
    air = config.transmit_power_w * config.state_size_bit / config.subcarrier_bandwidth_hz
    computation = config.computation_energy_j.sum()
    assert lower_bound(round) == pytest.approx((2 * air / 2 + computation) / config.reference_energy_j)
    assert cost(round, solve_exact(round)) == pytest.approx((air / 2 + air + computation) / config.reference_energy_j)


def relative_gaps(found: list[Round]) -> np.ndarray:
    """How much dearer than the exact optimum JESA is, round by round."""
    return np.array([cost(round, solve_jesa(round)) / cost(round, solve_exact(round)) - 1 for round in found])


def test_jesa_is_within_one_percent_of_exact_on_small():
    gaps = relative_gaps(scenario_rounds("small", 100, seed=7))
    assert gaps.min() >= -ROUNDING
    assert gaps.mean() <= 0.01


@pytest.mark.slow
def test_jesa_is_within_one_percent_of_exact_on_paper():
    gaps = relative_gaps(scenario_rounds("paper", 20, seed=7))
    assert gaps.min() >= -ROUNDING
    assert gaps.mean() <= 0.01


def test_jesa_on_scarce_is_feasible_and_counts_its_shortfall():
    for round in scenario_rounds("scarce", 50, seed=8):
        schedule = solve_jesa(round)
        assert check(round, schedule) == []
        shortfall = np.maximum(0, round.attainable_threshold - (round.gate_scores * schedule.selected).sum(-1))
        assert cost(round, schedule) >= round.config.shortfall_price * shortfall.mean()
        assert cost(round, schedule) >= lower_bound(round)


# --- definitions


@settings(max_examples=50)
@given(generators())
def test_jesas_first_iterate_is_the_documented_one(generator):
    """Assignment over all links, DES over it, assignment of the links DES uses: with public functions."""
    config = scenario("small").replace(num_states=2)
    round = draw_round(config, generator)
    everyone = np.repeat(~np.eye(4, dtype=bool)[:, None], 2, axis=1)
    provisional = allocate_subcarriers(round, everyone)
    assert provisional.any(-1).sum() == 12
    with np.errstate(divide="ignore"):
        air = config.transmit_power_w * config.state_size_bit / (provisional * round.rates).sum(-1)
    air[np.diag_indices(4)] = 0
    energies = np.repeat((air + config.computation_energy_j)[:, None], 2, axis=1)
    selected = solve_des(round.gate_scores, energies, round.threshold, config.max_experts)
    first = solve_jesa(round, max_iterations=1)
    np.testing.assert_array_equal(first.selected, selected)
    np.testing.assert_array_equal(first.allocated, allocate_subcarriers(round, selected))


@given(rounds())
def test_top_k_selects_the_best_scores_and_assigns_their_links(round):
    experts = round.config.num_experts
    for k in range(1, round.config.max_experts + 1):
        schedule = top_k(round, k)
        order = np.argsort(-round.gate_scores, axis=-1, kind="stable")[..., :k]
        best = np.zeros(round.gate_scores.shape, bool)
        np.put_along_axis(best, order, True, axis=-1)
        if round.config.num_subcarriers >= experts * (experts - 1) and (round.gains > 0).all():
            np.testing.assert_array_equal(schedule.selected, best)
            np.testing.assert_array_equal(schedule.allocated, allocate_subcarriers(round, best))
        else:  # links may be given up; only a state that loses all its experts gets another one
            extra = schedule.selected & ~best
            assert not (extra.any(-1) & (schedule.selected.sum(-1) != 1)).any()


@pytest.mark.parametrize(
    ("scores", "experts"),
    [
        ([0.6, 0.1, 0.1, 0.2], [0]),  # the cheapest alone reaches the threshold
        ([0.2, 0.35, 0.4, 0.05], [0, 1]),
        ([0.2, 0.1, 0.25, 0.45], [2, 3]),  # 0 and 1 reach 0.3, 0 and 2 reach 0.45
        ([0.3, 0.15, 0.1, 0.45], [0, 3]),  # expert 2 helps nobody
        ([0.25, 0.25, 0.2, 0.3], [0, 1]),  # 0.5 is enough
    ],
)
def test_channel_greedy_takes_the_cheapest_that_help(scores, experts):
    """On equal links computation decides: node 0 asks itself first, then node 1, 2, 3; D = 2, threshold 0.5."""
    config = scenario("small").replace(shortfall_price=0.0)
    round = Round(np.tile(scores, (4, 1))[:, None], np.ones((4, 4, config.num_subcarriers)), 0.5, config)
    assert np.flatnonzero(channel_greedy(round).selected[0, 0]).tolist() == experts


@settings(max_examples=50)
@given(rounds(), st.sampled_from([0.0, 0.4, 1.0]))
def test_homogeneous_is_jesa_with_that_threshold(round, z):
    expected = solve_jesa(Round(round.gate_scores, round.gains, z, round.config))
    found = homogeneous(round, z)
    np.testing.assert_array_equal(found.selected, expected.selected)
    np.testing.assert_array_equal(found.allocated, expected.allocated)


# --- symmetry: experts that compute alike have no names


def relabelled(round: Round, order: np.ndarray) -> Round:
    scores = round.gate_scores[order][:, :, order]
    return Round(scores, round.gains[order][:, order], round.threshold, round.config)


def moved(schedule: Schedule, order: np.ndarray) -> Schedule:
    return Schedule(schedule.selected[order][:, :, order], schedule.allocated[order][:, order])


@settings(max_examples=20)
@given(generators())
def test_relabelling_experts_relabels_schedules(generator):
    config = scenario("small").replace(num_states=2, computation_energy_range=(1.0, 1.0))
    round, order = draw_round(config, generator), generator.permutation(4)
    other = relabelled(round, order)
    for solve in (solve_jesa, solve_exact, lambda round: top_k(round, 2), channel_greedy, des_with_best_subcarriers):
        expected, found = moved(solve(round), order), solve(other)
        np.testing.assert_array_equal(found.selected, expected.selected)
        np.testing.assert_array_equal(found.allocated, expected.allocated)
    assert lower_bound(other) == pytest.approx(lower_bound(round))


@settings(max_examples=10)
@given(generators())
def test_relabelling_experts_keeps_the_optimum_where_subcarriers_are_scarce(generator):
    config = scenario("scarce").replace(num_experts=4, num_subcarriers=4, computation_energy_range=(1.0, 1.0))
    round, order = draw_round(config, generator), generator.permutation(4)
    other = relabelled(round, order)
    assert cost(other, solve_exact(other)) == pytest.approx(cost(round, solve_exact(round)), rel=1e-6)
    assert cost(other, moved(solve_jesa(round), order)) == pytest.approx(cost(round, solve_jesa(round)))


# --- bad input


@pytest.fixture(scope="module")
def contested() -> Round:
    """A round whose optimum needs the search."""
    return scenario_rounds("scarce", 1, seed=9)[0]


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_jesa_refuses_a_count_of_iterations_below_one(contested, count):
    with pytest.raises(ValueError, match=rf"max_iterations = {count}.*at least 1"):
        solve_jesa(contested, max_iterations=count)


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_exact_refuses_a_time_limit_that_is_none(contested, limit):
    with pytest.raises(ValueError, match=rf"time_limit_s = {limit}.*positive"):
        solve_exact(contested, time_limit_s=limit)


def test_exact_says_when_time_ran_out(contested):
    with pytest.raises(TimeoutError, match="1e-06 s"):
        solve_exact(contested, time_limit_s=1e-6)


@pytest.mark.parametrize("k", [0, 3, 1.0, True])
def test_top_k_refuses_another_count_than_one_to_d(contested, k):
    with pytest.raises(ValueError, match=rf"k = {k}.*max_experts = 2"):
        top_k(contested, k)


@pytest.mark.parametrize("z", [-0.1, 1.1, float("nan")])
def test_homogeneous_refuses_a_threshold_outside_zero_to_one(contested, z):
    with pytest.raises(ValueError, match=f"threshold = {z}"):
        homogeneous(contested, z)

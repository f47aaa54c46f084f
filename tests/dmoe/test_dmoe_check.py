"""The feasibility check: accepts what schedulers return, names every planted violation, and draws C1's line right."""

from __future__ import annotations

import re

import numpy as np
import pytest
from dmoe_builders import BY_HAND, draw_round, generators, rounds, scenario_rounds, uniform_round
from hypothesis import given, settings

from dmoe_gym.dmoe import (
    DMoEConfig,
    Round,
    Schedule,
    allocate_subcarriers,
    check,
    homogeneous,
    scenario,
    solve_exact,
    solve_jesa,
    top_k,
)
from dmoe_gym.dmoe.solvers.heuristics import channel_greedy, des_with_best_subcarriers


@settings(max_examples=300)
@given(rounds())
def test_schedules_of_every_scheduler_are_feasible(round):
    """At any scarcity, price, dead subcarriers and ties; top-k has no threshold and is judged elsewhere."""
    for iterations in (1, 2, 20):
        assert check(round, solve_jesa(round, max_iterations=iterations)) == []
    assert check(round, channel_greedy(round)) == []
    assert check(round, des_with_best_subcarriers(round)) == []


@settings(max_examples=60)
@given(rounds())
def test_the_exact_optimum_is_never_flagged(round):
    assert check(round, solve_exact(round)) == []


@given(rounds())
def test_top_k_keeps_every_constraint_but_relevance(round):
    """Also where it had to give links up: C2, C3 and C4 hold; with k = D and links for all, C1 does too."""
    limit = round.config.max_experts
    for k in range(1, limit + 1):
        assert {violation[:2] for violation in check(round, top_k(round, k))} <= {"C1"}
    links = round.config.num_experts * (round.config.num_experts - 1)
    if round.config.num_subcarriers >= links and (round.gains > 0).all():
        assert check(round, top_k(round, limit)) == []


def test_a_later_iterate_cures_what_the_freed_subcarrier_allows():
    """JESA's second iterate drops no link here: it once skipped the cure and left (0, 1) short beside a free link."""
    low = 0.03
    gains = [
        [[low, low, low, low, low], [31, low, low, low, 31], [low, low, low, 3, low], [3, low, low, low, 15]],
        [[low, 3, 1, low, 1], [1, 1, low, 31, 7], [3, low, low, 1, 3], [low, 1, 1, 1, low]],
        [[low, 31, 15, low, low], [1, 15, low, low, 1], [low, 31, 3, low, low], [low, 7, low, 1, 15]],
        [[low, 7, low, 7, low], [low, low, 31, 15, 15], [low, 31, 3, 3, 31], [low, low, low, low, 15]],
    ]
    scores = [
        [[0.5, 0.15, 0.25, 0.1], [0.1, 0.25, 0.4, 0.25]],
        [[0.35, 0.2, 0.1, 0.35], [0.15, 0.2, 0.15, 0.5]],
        [[0.15, 0.15, 0.4, 0.3], [0.35, 0.2, 0.05, 0.4]],
        [[0.1, 0.1, 0.35, 0.45], [0.1, 0.6, 0.2, 0.1]],
    ]
    config = DMoEConfig(
        num_experts=4,
        num_states=2,
        num_subcarriers=5,
        shortfall_price=1.0,
        mean_snr_db=0.0,
        computation_energy_range=(0.0, 0.0),
    )
    round = Round(scores, gains, 0.5, config)
    assert check(round, solve_jesa(round)) == []


# --- planted violations


@pytest.fixture(scope="module")
def feasible() -> tuple[Round, Schedule]:
    """A round of `small` whose schedule uses at least two links."""
    for round in scenario_rounds("small", 20, seed=4):
        schedule = solve_jesa(round)
        assert check(round, schedule) == []
        if (schedule.allocated.any(-1)).sum() >= 2:
            return round, schedule
    raise AssertionError("no round in which two links are active")


def planted(schedule: Schedule, **changes) -> Schedule:
    return Schedule(**{"selected": schedule.selected, "allocated": schedule.allocated, **changes})


def test_c1_names_a_planted_weak_expert(feasible):
    """The weakest expert alone, at the node itself where possible, leaves a shortfall that pays to cure."""
    round, schedule = feasible
    for i in range(4):
        weakest = round.gate_scores[i, 0].argmin()
        selected = schedule.selected.copy()
        selected[i, 0] = False
        selected[i, 0, weakest] = True
        allocated = schedule.allocated.copy()
        allocated[i] = allocate_subcarriers(round, selected)[i] & ~schedule.allocated.any((0, 1))
        if weakest != i and not allocated[i, weakest].any():
            free = np.flatnonzero(~schedule.allocated.any((0, 1)))
            allocated[i, weakest, free[0]] = True
        violations = check(round, planted(schedule, selected=selected, allocated=allocated))
        assert len(violations) == 1
        assert violations[0].startswith(f"C1: hidden state 0 of node {i} ")
        relevance = round.gate_scores[i, 0, weakest]
        assert f"{relevance:.6g}" in violations[0]
        assert f"{min(0.5, round.attainable_threshold[i, 0]) - relevance:.6g}" in violations[0]


def test_c2_names_states_without_and_with_too_many_experts(feasible):
    round, schedule = feasible
    selected = schedule.selected.copy()
    selected[2, 0] = False
    violations = check(round, planted(schedule, selected=selected))
    assert "C2: hidden state 0 of node 2 is served by 0 experts, valid are 1 to 2" in violations
    assert {violation[:2] for violation in violations} == {"C1", "C2"}

    selected = schedule.selected.copy()
    selected[2, 0] = [True, True, True, False]
    allocated = allocate_subcarriers(round, selected)
    assert check(round, planted(schedule, selected=selected, allocated=allocated)) == [
        "C2: hidden state 0 of node 2 is served by 3 experts, valid are 1 to 2"
    ]


def test_c3_names_a_subcarrier_of_two_links(feasible):
    round, schedule = feasible
    (_, _, m), (i, j, _) = np.argwhere(schedule.allocated)[:2]
    allocated = schedule.allocated.copy()
    allocated[i, j] = False
    allocated[i, j, m] = True
    violations = check(round, planted(schedule, allocated=allocated))
    assert violations == [f"C3: subcarrier {m} serves 2 links, valid is at most one"]
    # an idle link that holds a subcarrier counts like any other
    idle = schedule.allocated.copy()
    silent = next(link for link in np.argwhere(~schedule.allocated.any(-1)) if link[0] != link[1])
    idle[silent[0], silent[1], m] = True
    assert check(round, planted(schedule, allocated=idle)) == violations


def test_c4_names_a_link_with_payload_and_no_subcarrier(feasible):
    round, schedule = feasible
    i, j, m = np.argwhere(schedule.allocated)[0]
    allocated = schedule.allocated.copy()
    allocated[i, j, m] = False
    payload = schedule.selected[i, :, j].sum()
    assert check(round, planted(schedule, allocated=allocated)) == [
        f"C4: link {i} -> {j} carries {payload} hidden states but has no subcarrier"
    ]


def test_every_violation_is_listed():
    nothing = Schedule(np.zeros((3, 2, 3), bool), np.ones((3, 3, 4), bool))
    violations = check(uniform_round(), nothing)
    assert [violation[:2] for violation in violations] == 6 * ["C2"] + 4 * ["C3"] + 6 * ["C1"]
    everything = Schedule(np.ones((3, 2, 3), bool), np.zeros((3, 3, 4), bool))
    violations = check(uniform_round(), everything)
    assert [violation[:2] for violation in violations] == 6 * ["C2"] + 6 * ["C4"]


@pytest.mark.parametrize("shape", [((3, 1, 3), (3, 3, 4)), ((3, 2, 3), (3, 3, 5))])
def test_a_schedule_of_another_size_is_refused(shape):
    with pytest.raises(ValueError, match=re.escape(str(shape[0] if shape[0][1] == 1 else shape[1]))):
        check(uniform_round(), Schedule(np.ones(shape[0], bool), np.zeros(shape[1], bool)))


# --- the line that the priced C1 draws, with two nodes, one hidden state each, and energies by hand


def two_nodes(*, subcarriers: int = 1, limit: int = 2, price: float = 100.0, own: float = 0.3) -> Round:
    """Each node's own expert is worth `own`, the other's the rest; the threshold is one half.

    One hidden state over the link costs 10 mJ on air, one at any expert 10 mJ of computation. A shortfall of s is
    worth s * price * E_ref / 2 states = s * price * D * 20 mJ.
    """
    config = BY_HAND.replace(
        num_experts=2,
        num_states=1,
        num_subcarriers=subcarriers,
        max_experts=limit,
        shortfall_price=price,
        computation_energy_range=(1.0, 1.0),
    )
    scores = np.array([[[own, 1 - own]], [[1 - own, own]]])
    return Round(scores, np.ones((2, 2, subcarriers)), 0.5, config)


def own_only(round: Round) -> Schedule:
    return Schedule(np.eye(2, dtype=bool)[:, None], np.zeros(round.gains.shape, bool))


def test_shortfall_beside_a_free_subcarrier_is_flagged_for_every_state():
    assert [violation[:32] for violation in check(two_nodes(), own_only(two_nodes()))] == [
        "C1: hidden state 0 of node 0 has",
        "C1: hidden state 0 of node 1 has",
    ]


@pytest.mark.parametrize("limit", [1, 2])
def test_shortfall_is_accepted_where_no_subcarrier_is_left(limit):
    """One subcarrier for two nodes that both want the other's expert: whoever goes without is not to blame."""
    round = two_nodes(limit=limit)
    selected = np.array([[[limit == 2, True]], [[False, True]]])
    allocated = np.zeros((2, 2, 1), bool)
    allocated[0, 1, 0] = True
    assert check(round, Schedule(selected, allocated)) == []
    # with a second, free subcarrier the same schedule is not feasible
    freer = two_nodes(subcarriers=2, limit=limit)
    spare = np.concatenate([allocated, np.zeros_like(allocated)], axis=-1)
    (violation,) = check(freer, Schedule(selected, spare))
    assert violation.startswith("C1: hidden state 0 of node 1 ")


@pytest.mark.parametrize(("limit", "line"), [(1, 2.5), (2, 1.25)])
@pytest.mark.parametrize(("factor", "flagged"), [(0.99, False), (1.01, True)])
def test_an_exchange_is_a_cure_if_it_costs_less_than_the_shortfall(limit, line, factor, flagged):
    """A shortfall of 0.2 against 10 mJ on air: the own expert's computation is saved, the other's paid."""
    round = two_nodes(price=factor * line, limit=limit)
    violations = check(round, own_only(round))
    assert bool(violations) == flagged
    assert all("in place of" in violation for violation in violations)


@pytest.mark.parametrize(("factor", "flagged"), [(0.99, False), (1.01, True)])
def test_an_addition_is_a_cure_if_it_costs_less_than_the_shortfall(factor, flagged):
    """Equal scores: no exchange helps. A sixth of shortfall is worth price * 120 mJ / 3 / 6, adding costs 20 mJ."""
    config = BY_HAND.replace(num_states=1, computation_energy_range=(1.0, 1.0), shortfall_price=factor * 3)
    own = Schedule(np.eye(3, dtype=bool)[:, None], np.zeros((3, 3, 4), bool))
    violations = check(uniform_round(config), own)
    assert len(violations) == (3 if flagged else 0)
    assert all("adding" in violation and "in place of" not in violation for violation in violations)


def test_a_cure_over_the_links_own_slow_subcarriers_counts_their_energy():
    """Node 0's link is there already, for its other hidden state, over two subcarriers of which one is dead."""
    config = BY_HAND.replace(
        num_experts=2, num_states=2, num_subcarriers=2, computation_energy_range=(1.0, 1.0), max_experts=1
    )
    scores = np.array([[[0.3, 0.7], [0.2, 0.8]], [[0.3, 0.7], [0.3, 0.7]]])
    gains = np.ones((2, 2, 2))
    gains[0, 1, 1] = 0
    selected = np.zeros((2, 2, 2), bool)
    selected[0, 0, 0] = selected[0, 1, 1] = True
    selected[1, :, 1] = True
    allocated = np.zeros((2, 2, 2), bool)
    allocated[0, 1] = True
    # the exchange costs 2 * 10 mJ on air; 0.2 of shortfall is worth 0.2 * price * 20 mJ (four states, D = 1)
    for price, flagged in [(4.9, False), (5.1, True)]:
        round = Round(scores, gains, 0.5, config.replace(shortfall_price=price))
        assert bool(check(round, Schedule(selected, allocated))) == flagged


@pytest.mark.parametrize(("off", "flagged"), [(1e-7, False), (1e-5, True)])
def test_shortfalls_within_rounding_are_none(off, flagged):
    round = two_nodes(own=0.5 - off, price=1e9)
    assert bool(check(round, own_only(round))) == flagged


@settings(max_examples=200)
@given(generators())
def test_where_subcarriers_suffice_and_shortfall_is_forbidden_it_is_the_hard_constraint(generator):
    """At a prohibitive price: flagged exactly the hidden states below their attainable threshold."""
    config = scenario("small").replace(shortfall_price=1e9, num_states=2, num_subcarriers=24)
    round = draw_round(config, generator)
    selected = np.zeros(round.gate_scores.shape, bool)
    for i, n in np.ndindex(4, 2):
        selected[i, n, generator.permutation(4)[: generator.integers(1, 3)]] = True
    schedule = Schedule(selected, allocate_subcarriers(round, selected))
    shortfall = round.attainable_threshold - (round.gate_scores * selected).sum(-1)
    expected = [f"C1: hidden state {n} of node {i}" for i, n in np.argwhere(shortfall > 1e-5)]
    assert [violation.split(" has ")[0] for violation in check(round, schedule)] == expected


def test_homogeneous_is_feasible_for_its_own_threshold(feasible):
    round, _ = feasible
    for z in (0.2, 0.8):
        own = Round(round.gate_scores, round.gains, z, round.config)
        assert check(own, homogeneous(round, z)) == []

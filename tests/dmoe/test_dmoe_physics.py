"""Energy, relevance, shortfall and cost: closed forms, scaling laws, and an independent implementation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from dmoe_builders import BY_HAND, draw_round, generators, random_schedule, rounds, uniform_round
from dmoe_reference import Physics, round_terms
from hypothesis import given

from dmoe_gym.dmoe import DMoEConfig, Energy, Round, Schedule, cost, energy, terms


def schedule_of(selections: list[tuple[int, int, int]], subcarriers: list[tuple[int, int, int]]) -> Schedule:
    """BY_HAND's schedule from (i, n, j) selections and (i, j, m) allocations."""
    selected = np.zeros((3, 2, 3), bool)
    allocated = np.zeros((3, 3, 4), bool)
    for entry in selections:
        selected[entry] = True
    for entry in subcarriers:
        allocated[entry] = True
    return Schedule(selected, allocated)


OWN_EXPERTS = [(i, n, i) for i in range(3) for n in range(2)]


def test_constants_of_the_hand_made_system():
    """Mean SNR 1 and 1 MHz carry 1 Mbit/s: 10 mW for 1 s is 10 mJ; a runs from half of that to one and a half."""
    assert BY_HAND.mean_snr == 1
    assert BY_HAND.noise_power_w == pytest.approx(0.01)
    assert BY_HAND.mean_link_energy_j == pytest.approx(0.01)
    np.testing.assert_allclose(BY_HAND.computation_energy_j, [0.005, 0.010, 0.015])
    assert BY_HAND.energy_unit_j == pytest.approx(0.02)
    assert BY_HAND.reference_energy_j == pytest.approx(3 * 2 * 2 * 0.02)


def test_rates_in_closed_form():
    gains = np.ones((3, 3, 4))
    gains[0, 1] = [0, 1, 3, 7]
    round = Round(uniform_round().gate_scores, gains, 0.5, BY_HAND)
    np.testing.assert_allclose(round.spectral_efficiency[0, 1], [0, 1, 2, 3])
    np.testing.assert_allclose(round.rates[0, 1], [0, 1e6, 2e6, 3e6])
    assert not round.rates[np.diag_indices(3)].any()


def test_own_experts_need_no_radio():
    used = energy(uniform_round(), schedule_of(OWN_EXPERTS, []))
    assert used.communication == 0
    assert used.computation == pytest.approx(2 * (0.005 + 0.010 + 0.015))
    assert used.total == used.communication + used.computation
    # subcarriers that the diagonal or an idle link holds cost nothing
    assert energy(uniform_round(), schedule_of(OWN_EXPERTS, [(0, 0, 1), (0, 2, 3)])) == used


@pytest.mark.parametrize(
    ("subcarriers", "joules"),
    [([0], 0.01), ([2], 0.005), ([0, 1], 0.01), ([0, 2], 2 * 0.01 / 3), ([0, 1, 2], 3 * 0.01 / 4)],
)
def test_one_hidden_state_over_one_link(subcarriers, joules):
    """P0 |S| s0 / sum_S r: subcarriers 0 and 1 carry 1 Mbit/s each, number 2 carries 2 Mbit/s."""
    gains = np.ones((3, 3, 4))
    gains[0, 1, 2] = 3
    round = Round(uniform_round().gate_scores, gains, 0.5, BY_HAND)
    schedule = schedule_of([(0, 0, 1)], [(0, 1, m) for m in subcarriers])
    assert energy(round, schedule).communication == pytest.approx(joules)
    assert energy(round, schedule).computation == pytest.approx(0.010)


def test_payload_counts_hidden_states_of_one_link():
    """Two hidden states over one link cost twice one; each link pays for its own."""
    one = schedule_of([(0, 0, 1)], [(0, 1, 0)])
    two = schedule_of([(0, 0, 1), (0, 1, 1)], [(0, 1, 0)])
    elsewhere = schedule_of([(0, 0, 1), (2, 1, 1)], [(0, 1, 0), (2, 1, 1)])
    assert energy(uniform_round(), one).communication == pytest.approx(0.01)
    assert energy(uniform_round(), two).communication == pytest.approx(0.02)
    assert energy(uniform_round(), elsewhere).communication == pytest.approx(0.02)


def test_round_energy_is_paid_once_per_node():
    round = uniform_round(BY_HAND.replace(round_energy_j=0.007))
    assert energy(round, schedule_of([], [])) == Energy(0.0, pytest.approx(3 * 0.007))


def test_payload_without_rate_costs_infinitely():
    silent = schedule_of([(0, 0, 1)], [])
    assert energy(uniform_round(), silent).communication == np.inf
    assert cost(uniform_round(), silent) == np.inf
    dead = schedule_of([(0, 0, 1)], [(0, 1, 0)])
    assert cost(uniform_round(gain=0.0), dead) == np.inf


def test_cost_of_a_hand_made_round():
    """Uniform scores of a third, threshold one half: one expert falls a sixth short, two do not."""
    round = uniform_round()
    short = terms(round, schedule_of(OWN_EXPERTS, []))
    assert short.relevance == pytest.approx(1 / 3)
    assert short.shortfall == pytest.approx(1 / 6)
    assert short.cost == pytest.approx(0.06 / 0.24 + 100 / 6)
    # every hidden state of node 0 also asks node 1: 20 mJ on air, 20 mJ of computation
    helped = terms(round, schedule_of([*OWN_EXPERTS, (0, 0, 1), (0, 1, 1)], [(0, 1, 0)]))
    assert helped.shortfall == pytest.approx(4 / 6 / 6)
    assert helped.cost == pytest.approx(0.10 / 0.24 + 100 * 4 / 6 / 6)


def test_shortfall_counts_from_what_is_attainable():
    """At threshold 1 the best two thirds are attainable: serving them is no shortfall."""
    round = uniform_round(threshold=1.0)
    np.testing.assert_allclose(round.attainable_threshold, 2 / 3)
    pair = [(i, n, (i + 1) % 3) for i in range(3) for n in range(2)]
    links = [(0, 1, 0), (1, 2, 1), (2, 0, 2)]
    assert terms(round, schedule_of([*OWN_EXPERTS, *pair], links)).shortfall == pytest.approx(0)
    assert terms(round, schedule_of(OWN_EXPERTS, [])).shortfall == pytest.approx(1 / 3)


@given(rounds(), generators())
def test_terms_equal_the_independent_implementation(round, generator):
    schedule = random_schedule(round.config, generator)
    ours, theirs = terms(round, schedule), round_terms(round, schedule)
    assert ours.energy.communication == pytest.approx(theirs["communication"], rel=1e-12)
    assert ours.energy.computation == pytest.approx(theirs["computation"], rel=1e-12)
    assert ours.relevance == pytest.approx(theirs["relevance"], rel=1e-12, abs=1e-15)
    assert ours.shortfall == pytest.approx(theirs["shortfall"], rel=1e-9, abs=1e-12)
    assert ours.cost == pytest.approx(theirs["cost"], rel=1e-9)
    assert (energy(round, schedule), cost(round, schedule)) == (ours.energy, ours.cost)


@given(rounds())
def test_reference_energy_equals_the_independent_one(round):
    physics = Physics.of(round.config)
    assert round.config.reference_energy_j == pytest.approx(physics.reference_j, rel=1e-12)
    np.testing.assert_allclose(round.config.computation_energy_j, physics.computation_j, rtol=1e-12)


SCALED_ENERGY = {
    # at a fixed SNR: twice the power or the payload doubles every energy, twice the bandwidth halves it
    "transmit_power_w": (2.0, 2.0),
    "state_size_bit": (2.0, 2.0),
    "subcarrier_bandwidth_hz": (2.0, 0.5),
}


@pytest.mark.parametrize("field", SCALED_ENERGY)
@given(generators())
def test_scaling_laws(field, generator):
    """Energies scale; the cost, a pure number, does not."""
    factor, effect = SCALED_ENERGY[field]
    round = draw_round(BY_HAND, generator)
    scaled_config = BY_HAND.replace(**{field: factor * getattr(BY_HAND, field)})
    scaled = Round(round.gate_scores, round.gains, round.threshold, scaled_config)
    schedule = random_schedule(BY_HAND, generator)
    before, after = terms(round, schedule), terms(scaled, schedule)
    assert after.energy.communication == pytest.approx(effect * before.energy.communication)
    assert after.energy.computation == pytest.approx(effect * before.energy.computation)
    assert after.cost == pytest.approx(before.cost)


@given(generators())
def test_gain_counts_through_the_snr_alone(generator):
    """Half the gain at 3 dB more mean SNR is the same channel: communication scales with the unit of energy only."""
    round = draw_round(BY_HAND, generator)
    louder = BY_HAND.replace(mean_snr_db=10 * np.log10(2))
    same = Round(round.gate_scores, round.gains / 2, round.threshold, louder)
    np.testing.assert_allclose(same.rates, round.rates)
    schedule = random_schedule(BY_HAND, generator)
    assert energy(same, schedule).communication == pytest.approx(energy(round, schedule).communication)


@given(rounds(), generators())
def test_relabelling_hidden_states_and_subcarriers_changes_nothing(round, generator):
    schedule = random_schedule(round.config, generator)
    states = generator.permutation(round.config.num_states)
    subcarriers = generator.permutation(round.config.num_subcarriers)
    relabelled = Round(round.gate_scores[:, states], round.gains[..., subcarriers], round.threshold, round.config)
    moved = Schedule(schedule.selected[:, states], schedule.allocated[..., subcarriers])
    assert cost(relabelled, moved) == pytest.approx(cost(round, schedule))


def test_rounds_and_schedules_are_read_only_copies():
    gains = np.ones((3, 3, 4))
    round = Round(uniform_round().gate_scores, gains, 0.5, BY_HAND)
    schedule = schedule_of(OWN_EXPERTS, [])
    gains[:] = 7
    assert (round.gains == 1).all()
    arrays = (round.gate_scores, round.gains, round.spectral_efficiency, round.attainable_threshold)
    for array in (*arrays, schedule.selected, schedule.allocated):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        round.threshold = 0.1


GOOD = {"gate_scores": np.full((3, 2, 3), 1 / 3), "gains": np.ones((3, 3, 4)), "threshold": 0.5, "config": BY_HAND}


def altered(name: str, index: tuple[int, ...], value: float) -> np.ndarray:
    """One of GOOD's arrays with one entry replaced."""
    array = np.array(GOOD[name])
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("gate_scores", np.full((3, 2, 4), 0.25), ["(3, 2, 4)", "(3, 2, 3)"]),
        ("gate_scores", np.full((2, 3), 1 / 3), ["(2, 3)", "(3, 2, 3)"]),
        ("gate_scores", altered("gate_scores", (1, 0, 2), np.nan), ["[1, 0, 2]", "nan", "finite"]),
        ("gate_scores", altered("gate_scores", (1, 0, 2), -0.1), ["[1, 0, 2]", "-0.1", "at least 0"]),
        ("gate_scores", altered("gate_scores", (2, 1, 0), 0.5), ["[2, 1]", "1.16", "sum of 1"]),
        ("gate_scores", "many", ["array"]),
        ("gains", np.ones((3, 3)), ["(3, 3)", "(3, 3, 4)"]),
        ("gains", altered("gains", (0, 1, 3), np.nan), ["[0, 1, 3]", "nan", "finite"]),
        ("gains", altered("gains", (0, 1, 3), np.inf), ["[0, 1, 3]", "inf", "finite"]),
        ("gains", altered("gains", (0, 1, 3), -1.0), ["[0, 1, 3]", "-1.0", "at least 0"]),
        ("gains", np.ones((3, 3, 4), complex), ["array"]),
        ("threshold", 1.5, ["1.5", "at most 1"]),
        ("threshold", -0.1, ["-0.1", "at least 0"]),
        ("threshold", np.nan, ["nan"]),
        ("threshold", [0.5, 0.5], ["(2,)"]),
        ("config", {"num_experts": 3}, ["num_experts", "DMoEConfig"]),
    ],
)
def test_round_refuses_bad_input(field, value, words):
    with pytest.raises(ValueError, match=field) as error:
        Round(**{**GOOD, field: value})
    for word in words:
        assert word in str(error.value)


def test_scores_may_be_off_by_what_32_bit_numbers_are():
    scores = (np.full((3, 2, 3), 1 / 3) * (1 + 5e-5)).astype(np.float32)
    Round(**{**GOOD, "gate_scores": scores})


@pytest.mark.parametrize(
    ("selected", "allocated", "words"),
    [
        (np.zeros((3, 2, 4), bool), np.zeros((3, 3, 4), bool), ["selected", "(3, 2, 4)", "(K, N, K)"]),
        (np.zeros((3, 3), bool), np.zeros((3, 3, 4), bool), ["selected", "(3, 3)"]),
        (np.zeros((3, 2, 3), bool), np.zeros((3, 2, 4), bool), ["allocated", "(3, 2, 4)", "(3, 3, M)"]),
        (np.full((3, 2, 3), 2), np.zeros((3, 3, 4), bool), ["selected", "0/1"]),
        (np.zeros((3, 2, 3), bool), np.full((3, 3, 4), 0.5), ["allocated", "0/1"]),
        (np.full((3, 2, 3), np.nan), np.zeros((3, 3, 4), bool), ["selected", "0/1"]),
    ],
)
def test_schedule_refuses_bad_input(selected, allocated, words):
    with pytest.raises(ValueError, match=words[0]) as error:
        Schedule(selected, allocated)
    for word in words:
        assert word in str(error.value)


def test_schedule_accepts_zeros_and_ones():
    schedule = Schedule(np.ones((3, 2, 3), int), np.zeros((3, 3, 4)))
    assert schedule.selected.dtype == schedule.allocated.dtype == bool
    assert schedule.selected.all()


@pytest.mark.parametrize("function", [energy, cost, terms])
def test_schedule_of_another_size_is_refused(function):
    other = Schedule(np.ones((3, 1, 3), bool), np.zeros((3, 3, 4), bool))
    with pytest.raises(ValueError, match=r"selected.*\(3, 1, 3\).*\(3, 2, 3\)"):
        function(uniform_round(), other)
    other = Schedule(np.ones((3, 2, 3), bool), np.zeros((3, 3, 5), bool))
    with pytest.raises(ValueError, match=r"allocated.*\(3, 3, 5\).*\(3, 3, 4\)"):
        function(uniform_round(), other)


def test_thresholds_fall_with_the_layer():
    config = DMoEConfig(threshold=0.5, importance_factor=0.5)
    assert [config.threshold_of_layer(layer) for layer in (1, 2, 3)] == [0.25, 0.125, 0.0625]

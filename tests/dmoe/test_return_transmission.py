"""Answers that travel back: energies of both ways, in schedules, bounds, checks and environments."""

from __future__ import annotations

import numpy as np
import pytest
from dmoe_builders import JOINT, TINY, TINY_SCARCE, draw_round, make, random_schedule
from dmoe_reference import optimal_cost, round_terms

from dmoe_gym.dmoe import DMoEConfig, Round, Schedule, check, cost, energy, lower_bound, solve_exact, solve_jesa, terms
from dmoe_gym.evaluation import evaluate, evaluate_line_up, line_up_of

BACK = {"return_transmission": True}
SEEDS = range(20)


def both(config: DMoEConfig, seed: int, symmetric: bool = False) -> tuple[Round, Round]:
    """The same round without and with the return."""
    drawn = draw_round(config, np.random.default_rng(seed))
    gains = (drawn.gains + drawn.gains.swapaxes(0, 1)) / 2 if symmetric else drawn.gains
    return tuple(
        Round(drawn.gate_scores, gains, drawn.threshold, config.replace(return_transmission=back))
        for back in (False, True)
    )


def test_a_symmetric_channel_doubles_the_communication_energy_exactly():
    for seed in SEEDS:
        forward, back = both(DMoEConfig(**TINY), seed, symmetric=True)
        schedule = random_schedule(forward.config, np.random.default_rng(seed))
        assert energy(back, schedule).communication == 2 * energy(forward, schedule).communication
        assert energy(back, schedule).computation == energy(forward, schedule).computation


def test_every_schedule_costs_what_two_transmissions_cost():
    """Several subcarriers per link too, link by link from the reference's own formula."""
    for seed in SEEDS:
        _, back = both(DMoEConfig(**TINY, round_energy_j=1e-3), seed)
        schedule = random_schedule(back.config, np.random.default_rng(seed))
        ours, theirs = terms(back, schedule), round_terms(back, schedule)
        assert ours.energy.communication == pytest.approx(theirs["communication"], rel=1e-12)
        assert ours.cost == pytest.approx(theirs["cost"], rel=1e-12)


@pytest.mark.parametrize("sizes", [TINY_SCARCE, {**TINY, "num_subcarriers": 3}])
def test_exact_is_the_optimum_and_the_bound_is_below_by_enumeration(sizes):
    for seed in range(6):
        _, back = both(DMoEConfig(**sizes), seed)
        best = optimal_cost(back)
        assert cost(back, solve_exact(back)) == pytest.approx(best, rel=1e-9)
        assert lower_bound(back) <= best * (1 + 1e-12)
        assert cost(back, solve_jesa(back)) >= best * (1 - 1e-12)


def test_jesa_sees_the_way_back():
    """Expert 1 is near and answers over a link next to dead; expert 2 costs little more there and little back."""
    gains = np.ones((3, 3, 6))
    gains[0, 1], gains[0, 2] = 2.0, 1.5
    gains[1, 0] = 1e-3
    scores = np.tile(np.eye(3)[:, None], (1, 2, 1))
    scores[0] = [0.0, 0.5, 0.5]
    for back, chosen in ((False, 1), (True, 2)):
        config = DMoEConfig(**TINY, computation_energy_range=(0.0, 0.0), return_transmission=back)
        round = Round(scores, gains, 0.5, config)
        schedule = solve_jesa(round)
        assert schedule.selected[0].all(0)[chosen]
        assert not check(round, schedule)
        # the other choice, at the same threshold, is one exchange away and dearer
        other = schedule.selected.copy()
        other[0] = np.eye(3, dtype=bool)[3 - chosen]
        allocated = np.zeros((3, 3, 6), bool)
        allocated[0, 3 - chosen, 0] = True
        assert cost(round, Schedule(other, allocated)) > cost(round, schedule)


def test_environments_charge_both_ways_on_the_same_episodes():
    """Also where knowledge is noisy: decided by what is seen, charged by what is there."""
    for options in (TINY, {**TINY, "csi": {"error_variance": 0.2}}):
        env, plain = make(JOINT, **options, **BACK), make(JOINT, **options)
        env.reset(seed=3)
        plain.reset(seed=3)
        for _ in range(2):
            np.testing.assert_array_equal(env.round.gains, plain.round.gains)
            current, seen = env.round, env.observed_round
            np.testing.assert_allclose(
                env.core.observations["spectral_efficiency"][0], seen.spectral_efficiency, atol=1e-6
            )
            schedule = solve_jesa(seen)
            _, reward, _, _, info = env.step(env.encode(schedule))
            plain.step(plain.encode(schedule))
            assert -reward == pytest.approx(cost(current, schedule), rel=1e-6)
            assert info["energy_communication_J"] == pytest.approx(energy(current, schedule).communication, rel=1e-6)


@pytest.mark.parametrize("env_id", ["DMoE-DES-v0", "DMoE-JESA-Sequential-v0", "DMoE-JESA-Price-v0"])
def test_every_id_charges_both_ways(env_id):
    """What the first step decides is charged as the physics charge it."""
    env = make(env_id, **TINY, **BACK)
    _, info = env.reset(seed=1)
    current = env.round
    action = np.ones(env.action_space.shape, env.action_space.dtype)
    if "action_mask" in info:
        # an expert of another node
        action = np.flatnonzero(info["action_mask"][6:])[0] + 6
    info = env.step(action)[4]
    assert info["energy_communication_J"] > 0
    assert info["energy_communication_J"] == pytest.approx(energy(current, env.schedule).communication, rel=1e-6)


def test_a_slot_holds_both_ways():
    """A hidden state of 1 s each way arrives in a slot of 2 s and not in less."""
    gains = np.ones((2, 2, 2))
    scores = np.zeros((2, 1, 2))
    scores[..., 1] = 1.0
    for slot, outages in ((2.0, 0), (1.999, 1)):
        config = DMoEConfig(
            num_experts=2, num_subcarriers=2, mean_snr_db=0.0, state_size_bit=1e6, slot_duration_s=slot, **BACK
        )
        selected, allocated = np.zeros((2, 1, 2), bool), np.zeros((2, 2, 2), bool)
        selected[..., 1] = True
        allocated[0, 1, 0] = True
        assert terms(Round(scores, gains, 0.5, config), Schedule(selected, allocated)).outages == outages


def test_line_ups_keep_the_bounds_and_drop_what_needs_the_law_of_one_way():
    rows = evaluate_line_up(JOINT, scenario="small", seeds=range(3), **BACK)
    costs = {(row["policy"], row["seed"]): row["cost"] for row in rows}
    for (policy, seed), value in costs.items():
        assert costs["lower-bound", seed] <= costs["exact", seed] * (1 + 1e-9)
        assert costs["exact", seed] <= value * (1 + 1e-6) or policy == "lower-bound"
    assert not any(row.get("violations") for row in rows)
    one_way, back = (line_up_of(JOINT, "stale", return_transmission=value) for value in (False, True))
    assert set(one_way.policies) - set(back.policies) >= {"JESA-predicted", "JESA-margin", "JESA-expected"}
    assert "informed" not in back.bounds


def test_the_default_is_one_way_and_batteries_are_refused():
    assert not DMoEConfig().return_transmission
    with pytest.raises(ValueError, match="return_transmission = True with battery_j"):
        DMoEConfig(battery_j=1.0, **BACK)
    policy = line_up_of(JOINT, "small").policies["JESA"]
    one_way, back = (evaluate(policy, JOINT, scenario="small", seeds=[0], **more)[0]["cost"] for more in ({}, BACK))
    assert back > one_way

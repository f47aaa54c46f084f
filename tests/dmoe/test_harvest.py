"""Harvested energy: its law, what arrives at batteries, its forecast, and the bound of whole episodes."""

from __future__ import annotations

import itertools

import gymnasium as gym
import numpy as np
import pytest

from dmoe_gym.dmoe import DMoEConfig, scenario
from dmoe_gym.dmoe.env.batch import BATTERY
from dmoe_gym.dmoe.harvest import SunConfig
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.episode import BatteryJESA, HarvestJESA
from dmoe_gym.dmoe.solvers.clairvoyant import clairvoyant, dual_value
from dmoe_gym.evaluation import evaluate, evaluate_bound
from dmoe_gym.facades.view import View
from dmoe_gym.registration import create_core

LAW = SunConfig(mean_j=2.0, sun_share=0.3, mean_sun_rounds=5.0)
SHORT = {"scenario": "harvest", "num_layers": 12}


def drawn(rounds: int, batch: int = 4000, config: SunConfig = LAW) -> np.ndarray:
    """(rounds, batch) arrivals of one node."""
    generators = [np.random.default_rng(seed) for seed in range(batch)]
    process, rows, arrivals = config.build(batch, 1), np.arange(batch), []
    for round in range(rounds):
        (process.start if round == 0 else process.advance)(rows, generators)
        arrivals.append(process.arrived[:, 0].copy())
    return np.array(arrivals)


def test_the_chain_is_stationary_and_its_correlation_falls_geometrically():
    arrivals = drawn(9)
    sunny = arrivals > 0
    spread = np.sqrt(0.3 * 0.7 / arrivals.shape[1])
    # a share of so many independent chains lies within four standard deviations
    assert np.abs(sunny.mean(1) - 0.3).max() < 4 * spread
    assert set(np.unique(arrivals)) == {0.0, LAW.sun_j}
    assert LAW.sun_j * 0.3 == pytest.approx(2.0)
    for lag in (1, 3, 8):
        correlation = np.corrcoef(sunny[0], sunny[lag])[0, 1]
        assert correlation == pytest.approx(LAW.correlation**lag, abs=4 / np.sqrt(arrivals.shape[1]))


def test_expected_arrivals_are_the_chain_s():
    """Against the transition matrix, enumerated."""
    step = np.array([[1 - LAW.leaves_shade, LAW.leaves_shade], [LAW.leaves_sun, 1 - LAW.leaves_sun]])
    for state, now in enumerate((0.0, LAW.sun_j)):
        law, total = np.eye(2)[state], 0.0
        for rounds in range(8):
            assert LAW.expected_arrivals(np.array(now), np.array(rounds)) == pytest.approx(total)
            law = law @ step
            total += law[1] * LAW.sun_j


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("mean_j", 1e300, "mean_j = 1e.300"),
        ("mean_j", 5e-324, "mean_j = 5e-324"),
        ("mean_sun_rounds", 1e17, "mean_sun_rounds = 1e.17"),
        ("sun_share", 5e-324, "sun_share = 5e-324"),
        ("sun_share", 0.9, r"mean_sun_rounds = 8.0: valid with sun_share = 0.9 are at least .* = 9"),
    ],
)
def test_a_chain_that_no_numbers_have_is_refused(field, value, words):
    """Beyond these bounds arrivals overflow, or no stay in the shade is short enough for the share of sun."""
    with pytest.raises(ValueError, match=words):
        SunConfig(**{field: value})


@pytest.mark.parametrize("mean_sun_rounds", [1.0, 1e6])
@pytest.mark.parametrize("sun_share", [1e-6, 0.5, 1 - 1e-6])
def test_the_forecast_of_an_extreme_chain_is_finite(sun_share, mean_sun_rounds):
    """The stationary share is what was asked for, and from there the mean arrives in every round."""
    least = sun_share / (1 - sun_share)
    law = SunConfig(mean_j=1e12, sun_share=sun_share, mean_sun_rounds=max(mean_sun_rounds, min(least, 1e6)))
    assert law.leaves_shade / (law.leaves_shade + law.leaves_sun) == pytest.approx(sun_share)
    ahead = law.expected_arrivals(np.array([0.0, law.sun_j]), np.array(100))
    assert np.isfinite(ahead).all()
    assert (ahead >= 0).all()
    assert ahead @ [1 - sun_share, sun_share] == pytest.approx(100e12)


def test_batteries_hold_what_arrives_up_to_their_size_and_lose_what_is_spent():
    core = create_core("DMoE-JESA-v0", 3, "harvest", {"num_layers": 12})
    core.seed(core.all_rows, [(2, row) for row in range(3)])
    core.start(core.all_rows)
    config, full = core.config, core.rules.full_battery
    policy = JointPolicy(HarvestJESA(config))
    left = np.full((3, config.num_experts), config.harvest.start_share * full)
    while True:
        arrived = core.harvest.arrived / config.energy_unit_j
        held = np.minimum(full, left + arrived)
        np.testing.assert_allclose(core.account[:, BATTERY:], held)
        np.testing.assert_allclose(core.battery, held / full, rtol=1e-6)
        np.testing.assert_allclose(core.observations["harvest"], np.minimum(1, arrived / full), rtol=1e-6)
        np.testing.assert_allclose(core.round(0).battery, held[0] * config.energy_unit_j)
        np.testing.assert_allclose(core.round(0).harvested, core.harvest.arrived[0])
        rounds = [core.round(row) for row in range(3)]
        core.step(policy.actions(View(core).batch()), core.all_rows)
        # what every node spends, by the physics alone; feasible schedules overdraw nobody here
        use = [spent_by(round, core.schedule(row)) for row, round in enumerate(rounds)]
        left = np.maximum(held - np.array(use), 0)
        if core.terminated.all():
            break


def spent_by(round, schedule) -> np.ndarray:
    """Energy of every node (K,) [E_ref / (K N D)] under a schedule, as docs/dmoe.md has it."""
    config = round.config
    rates = (schedule.allocated * round.rates).sum(-1)
    payload = schedule.payload_states * config.state_size_bit
    sent = np.where(rates > 0, config.transmit_power_w * payload / np.where(rates > 0, rates, 1), 0).sum(1)
    computed = config.computation_energy_j * schedule.selected.sum((0, 1))
    return (sent + computed) / config.energy_unit_j


def test_without_a_harvest_nothing_of_an_episode_changes():
    """The harvest draws after the channel: gains of the first round are those of a battery scenario."""
    plain = create_core("DMoE-JESA-v0", 1, "battery", {})
    harvest = create_core("DMoE-JESA-v0", 1, "battery", {"harvest": {}})
    for core in (plain, harvest):
        core.seed([0], [(3, 0)])
        core.start(core.all_rows)
    np.testing.assert_array_equal(plain.channel.gains, harvest.channel.gains)
    assert "harvest" not in plain.observations


def test_no_policy_undercuts_the_bound_and_any_multipliers_prove_one():
    config = scenario("harvest").replace(num_layers=12)
    for seed in range(6):
        core = create_core("DMoE-JESA-v0", 1, "harvest", {"num_layers": 12})
        core.seed([0], [(seed, 0)])
        core.start(core.all_rows)
        rounds = []
        while not core.terminated[0]:
            rounds.append(core.round(0))
            core.skip_round(core.all_rows)
        found = clairvoyant(rounds)
        assert found.cost == pytest.approx(dual_value(rounds, found.relevance_price, found.node_prices))
        for scheduler in (BatteryJESA(config, 0.0), BatteryJESA(config), HarvestJESA(config, 10.0)):
            (row,) = evaluate(JointPolicy(scheduler), "DMoE-JESA-v0", **SHORT, seeds=[seed], check=False)
            assert row["cost"] >= found.cost - 1e-9


@pytest.mark.parametrize("start_share", [0.0, 1e-300])
def test_no_schedules_undercut_the_bound_of_batteries_that_begin_empty(start_share):
    """Two nodes, one subcarrier, two rounds: every pair of actions, which are repaired to every pair of schedules."""
    fields = {
        "num_experts": 2,
        "num_subcarriers": 1,
        "max_experts": 1,
        "num_layers": 2,
        "battery_j": 5e-4,
        "harvest": {"mean_j": 3e-4, "mean_sun_rounds": 1.0, "start_share": start_share},
    }
    sizes = create_core("DMoE-JESA-v0", 1, None, fields).action_space.nvec
    actions = np.array(list(itertools.product(*map(range, sizes))))
    first, second = np.indices((len(actions), len(actions))).reshape(2, -1)
    for seed in range(8):
        core = create_core("DMoE-JESA-v0", len(first), None, fields)
        core.seed(core.all_rows, [(seed, 0)] * len(first))
        core.start(core.all_rows)
        costs = np.zeros(len(first))
        for chosen in (first, second):
            core.step(actions[chosen], core.all_rows)
            costs += core.terms["cost"]
        (bound,) = evaluate_bound("clairvoyant", "DMoE-JESA-v0", seeds=[seed], **fields)
        assert np.isfinite(bound["cost"])
        assert bound["cost"] <= costs.min() / 2 * (1 + 1e-9)


@pytest.mark.slow
def test_no_policy_undercuts_the_bound_over_a_thousand_episodes():
    seeds = range(1000)
    bound = evaluate_bound("clairvoyant", "DMoE-JESA-v0", scenario="harvest", seeds=seeds)
    policy = JointPolicy(HarvestJESA(scenario("harvest"), 10.0, 4.0, 16))
    rows = evaluate(policy, "DMoE-JESA-v0", scenario="harvest", seeds=seeds, check=False)
    for below, row in zip(bound, rows, strict=True):
        assert row["cost"] >= below["cost"] - 1e-9


def test_a_forecast_pays():
    """Prices of expected arrivals cost less than those of the battery alone, by far."""
    config = scenario("harvest")
    costs = {}
    for name, scheduler in (
        ("battery", BatteryJESA(config, 3.0, 4.0)),
        ("harvest", HarvestJESA(config, 10.0, 4.0, 16)),
    ):
        rows = evaluate(JointPolicy(scheduler), "DMoE-JESA-v0", scenario="harvest", seeds=range(16), check=False)
        costs[name] = np.array([row["cost"] for row in rows])
    difference = costs["harvest"] - costs["battery"]
    assert difference.mean() < -2 * difference.std() / 4


def test_bad_configurations_are_named():
    with pytest.raises(ValueError, match="harvest without battery_j"):
        DMoEConfig(harvest={})
    with pytest.raises(ValueError, match="sun_share"):
        SunConfig(sun_share=1.0)
    with pytest.raises(ValueError, match="harvest = None"):
        HarvestJESA(scenario("battery"))
    with pytest.raises(ValueError, match="horizon = 0"):
        HarvestJESA(scenario("harvest"), horizon=0)
    assert gym.make("DMoE-JESA-v0", scenario="harvest").observation_space["harvest"].shape == (6,)


def test_a_price_at_an_episodes_start_is_one_more_than_the_strength():
    """All of the battery and of the episode is left; by default the strength is 1, and what is left counts squared."""
    config = scenario("battery")
    env = gym.make("DMoE-JESA-v0", scenario="battery")
    observation = {key: values[None] for key, values in env.reset(seed=1)[0].items()}
    np.testing.assert_allclose(BatteryJESA(config).prices(observation), 2)
    np.testing.assert_allclose(BatteryJESA(config, 3.0).prices(observation), 4)
    observation["battery"] = np.full_like(observation["battery"], 0.5)
    np.testing.assert_allclose(BatteryJESA(config).prices(observation), 1 + 2**2)

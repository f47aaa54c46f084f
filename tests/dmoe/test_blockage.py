"""Blocked links: what is told of them, the filter, the outer loop, and the bound of who knows the rates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dmoe_gym.channel import BlockageConfig, CSIConfig, GaussMarkovConfig
from dmoe_gym.dmoe import DMoEConfig, Round, Schedule, cost, scenario
from dmoe_gym.dmoe.policies import JointPolicy, SequentialPolicy
from dmoe_gym.dmoe.schedulers.blockage import FilterJESA, OuterLoopJESA
from dmoe_gym.dmoe.schedulers.scheduler import Corrections
from dmoe_gym.dmoe.solvers.blockage import UNLIKELY, blockage_bound, filter_links
from dmoe_gym.evaluation import evaluate
from dmoe_gym.evaluation.run import evaluate_bound
from dmoe_gym.facades.view import View
from dmoe_gym.registration import create_core

JOINT = "DMoE-JESA-v0"


def started(size: int = 4, env_id: str = JOINT, **overrides):
    core = create_core(env_id, size, "blockage", overrides)
    core.seed(core.all_rows, [(3, row) for row in range(size)])
    core.start(core.all_rows)
    return core


def test_what_is_told_is_what_arrived_a_round_ago():
    """By the physics: a link delivers what it carries if its true rate lasts, and its outages are counted."""
    core = started(num_layers=6)
    assert not core.delivered.any()
    assert not core.lost.any()
    policy, memory = JointPolicy(FilterJESA(core.config, probing=1.0)), None
    lost = 0.0
    for _ in range(5):
        rounds = [core.round(row) for row in range(4)]
        actions, memory = policy.predict(View(core).batch(), memory)
        core.step(actions, core.all_rows)
        for row, round in enumerate(rounds):
            schedule = core.schedule(row)
            payload = schedule.payload_states * (1 - np.eye(6, dtype=int))
            rates = (schedule.allocated * round.rates).sum(-1)
            time = payload * core.config.state_size_bit / np.where(rates > 0, rates, 1)
            arrived = (payload > 0) & (time <= core.config.slot_duration_s)
            np.testing.assert_array_equal(core.observations["delivered"][row], arrived)
            np.testing.assert_array_equal(core.observations["lost"][row], (payload > 0) & ~arrived)
            assert core.lost[row].sum() == core.terms["outages"][row]
        lost += core.lost.sum()
    assert lost > 0


def test_colliding_links_are_told_as_lost():
    core = started(1)
    core.selected[:] = False
    core.subcarrier[:] = -1
    for i, j, m in ((0, 1, 5), (2, 3, 5), (4, 5, 6)):
        core.selected[0, i, 0, j] = True
        core.subcarrier[0, i, j] = m
    core.subcarrier[0, 1, 2] = 6  # carries nothing
    core.channel.gains[:] = 10.0
    core.skip_round(core.all_rows)
    assert core.lost[0, 0, 1] == core.lost[0, 2, 3] == core.delivered[0, 4, 5] == 1
    assert core.lost.sum() + core.delivered.sum() == 3


def enumerated(rates, delay, seen, told) -> float:
    """P(blocked now), by Bayes over every pair of rates and every path of states.

    Args:
        rates: (G, 2); seen: likelihood ratios of rounds 0 to now - delay; told: outcomes of rounds 0 to now - 1.
    """
    now, total, blocked_now = len(told), 0.0, 0.0
    for (a, b), path in itertools.product(rates, itertools.product((0, 1), repeat=now + 1)):
        probability = a / (a + b) if path[0] else b / (a + b)
        for before, after in itertools.pairwise(path):
            probability *= (1 - b if after else b) if before else (a if after else 1 - a)
        for state, ratio in zip(path, seen, strict=False):
            probability *= ratio if state else 1.0
        for state, outcome in zip(path, told, strict=False):
            if outcome:
                probability *= 1 - UNLIKELY if (outcome < 0) == bool(state) else UNLIKELY
        total += probability
        blocked_now += probability * path[-1]
    return blocked_now / total


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_the_filter_is_bayes_rule(delay):
    rng = np.random.default_rng(delay)
    rates = np.array([[0.05, 0.3], [0.3, 0.1], [0.5, 0.6]])
    snr, depth, share, subcarriers = 10.0, 0.5, 0.9, 2
    weights, told = np.zeros((1, 2, 2, 3, 2)), np.zeros((1, delay + 1, 2, 2), np.int8)
    chance, seen, outcomes = np.zeros((1, 2, 2)), [], []
    for now in range(7):
        gains = rng.exponential(size=(1, 2, 2, subcarriers))
        # so many rounds in the past; until as many have passed it is round 0's
        if now == 0 or now > delay:
            seen.append(np.exp(gains[0, 0, 1].sum() / share * (1 - 1 / depth) - subcarriers * np.log(depth)))
        delivered, lost = np.zeros((2, 1, 2, 2))
        if now > 0:
            outcomes.append(int(rng.integers(-1, 2)))
            delivered[0, 0, 1], lost[0, 0, 1] = outcomes[-1] == 1, outcomes[-1] == -1
        filter_links(
            1, np.array([now + 1]), np.log2(1 + snr * gains), delivered, lost, snr, depth, share, delay, rates,
            weights, told, chance,
        )  # fmt: skip
        assert chance[0, 0, 1] == pytest.approx(enumerated(rates, delay, seen, outcomes), rel=1e-9)


def test_an_outer_loop_steps_as_told_and_forgets():
    config = scenario("blockage")
    loop = OuterLoopJESA(config, step_db=8.0, target=0.2, forget=0.5)
    lost, delivered = np.zeros((2, 1, 6, 6))
    progress = np.array([[2 / config.num_layers]])
    lost[0, 0, 1] = lost[0, 2, 3] = 1
    memory = loop.remember({}, {"lost": lost, "delivered": delivered, "progress": progress})
    assert memory["offset_db"][0, 0, 1] == 8
    delivered[0, 0, 1], lost[:] = 1, 0
    memory = loop.remember(memory, {"lost": lost, "delivered": delivered, "progress": progress})
    assert memory["offset_db"][0, 0, 1] == pytest.approx(8 / 2 - 8 * 0.25)
    assert memory["offset_db"][0, 2, 3] == 4
    memory = loop.remember(memory, {"lost": lost, "delivered": delivered, "progress": progress / 2})
    assert not memory["offset_db"].any()


def test_memories_pay_and_a_filter_pays_more():
    costs = {}
    for name, scheduler in (("loop", OuterLoopJESA), ("filter", FilterJESA)):
        rows = evaluate(JointPolicy(scheduler(scenario("blockage"))), JOINT, scenario="blockage", seeds=range(24))
        costs[name] = np.array([row["cost"] for row in rows])
        assert not sum(row["violations"] for row in rows)
    difference = costs["filter"] - costs["loop"]
    assert difference.mean() < -4 * difference.std() / np.sqrt(24)


def test_a_memory_is_of_its_environment_and_its_episode():
    """Batches, lone environments and picks one by one remember alike; a new episode begins anew."""
    config = scenario("blockage").replace(num_layers=5)
    kwargs = {"scenario": "blockage", "num_layers": 5, "seeds": range(4), "check": False}
    policy = JointPolicy(FilterJESA(config))
    together = [row["cost"] for row in evaluate(policy, JOINT, **kwargs)]
    assert together == [row["cost"] for row in evaluate(policy, JOINT, batch=1, **kwargs)]
    picks = evaluate(SequentialPolicy(FilterJESA(config)), "DMoE-JESA-Sequential-v0", **kwargs)
    np.testing.assert_allclose([row["cost"] for row in picks], together)
    core, memory = started(2, num_layers=2), None
    beliefs = []
    for _ in range(4):
        actions, memory = policy.predict(View(core).batch(), memory)
        beliefs.append(memory["blocked"].copy())
        core.step(actions, core.all_rows)
        if core.terminated.all():
            core.seed(core.all_rows, [(3, row) for row in range(2)])
            core.start(core.all_rows)
    np.testing.assert_array_equal(beliefs[2], beliefs[0])
    assert (beliefs[1] != beliefs[0]).any()


# --- the bound


def tiny(rng, **options) -> Round:
    config = DMoEConfig(
        num_experts=2, num_subcarriers=2, threshold=0.7, shortfall_price=20.0, slot_duration_s=0.03, acknowledged=True,
        channel=BlockageConfig(depth_db=15.0), csi=CSIConfig(delay_rounds=1), **options,
    )  # fmt: skip
    scores = rng.dirichlet(np.ones(2), (2, config.num_states))
    gains = np.sort(rng.exponential(size=(2, 2, 2)))
    gains[1, 0] = gains[1, 0, ::-1]  # the best subcarriers differ
    blocked = rng.random((2, 2)) < 0.5
    gains *= np.where(blocked, config.channel.depth, 1)[..., None]
    return Round(scores, gains, 0.7, config, blocked=blocked, blocked_chance=rng.random((2, 2)))


def expected(round: Round, schedule: Schedule) -> float:
    """By enumeration of both links' states."""
    depth, total = round.config.channel.depth, 0.0
    clear = round.gains / np.where(round.blocked, depth, 1)[..., None]
    for states in itertools.product((False, True), repeat=2):
        blocked = np.array([[False, states[0]], [states[1], False]])
        chance = np.where(blocked, round.blocked_chance, 1 - round.blocked_chance)
        gains = clear * np.where(blocked, depth, 1)[..., None]
        total += chance[0, 1] * chance[1, 0] * cost(Round(round.gate_scores, gains, 0.7, round.config), schedule)
    return total


@pytest.mark.parametrize("states", [1, 2])
def test_the_bound_is_the_least_expected_cost_by_enumeration(states):
    """Where every link's best subcarrier is its own, so that taking exclusivity away changes nothing."""
    rng = np.random.default_rng(states)
    for _ in range(4):
        round = tiny(rng, num_states=states)
        sets = [np.array(chosen) for chosen in ((1, 0), (0, 1), (1, 1))]
        costs = []
        for picks in itertools.product(sets, repeat=2 * states):
            selected = np.array(picks, bool).reshape(2, states, 2)
            for one, other in itertools.permutations(range(2)):
                subcarrier = np.array([[-1, one], [other, -1]])
                subcarrier[selected.sum(1) == 0] = -1
                costs.append(expected(round, Schedule.from_subcarriers(selected, subcarrier, 2)))
        assert blockage_bound(round) == pytest.approx(min(costs), rel=1e-9)


class Told(FilterJESA):
    """Knows the rates and the last state of every link: all that the bound knows."""

    def __init__(self, core) -> None:
        super().__init__(core.config)
        self.core = core

    def remember(self, memory, observation):
        return {"blocked": self.core.channel.chance.copy()}


def costs_and_bounds(episodes: int, **overrides):
    """Mean costs of the filter and of `Told` per episode, and the bound of every one."""
    seeds, found = range(episodes), []
    bound = evaluate_bound("informed", JOINT, scenario="blockage", seeds=seeds, **overrides)
    for build in (lambda core: FilterJESA(core.config, probing=1.0), Told):
        core = create_core(JOINT, episodes, "blockage", overrides)
        core.seed(core.all_rows, [(seed, 0) for seed in seeds])
        core.start(core.all_rows)
        policy, memory, total = JointPolicy(build(core)), None, np.zeros(episodes)
        while not core.terminated.all():
            actions, memory = policy.predict(View(core).batch(), memory)
            core.step(actions, core.all_rows)
            total += core.terms["cost"]
        found.append(total / core.rounds_per_episode)
    return *found, np.array([row["cost"] for row in bound])


def test_no_policy_undercuts_the_bound():
    filtered, told, bound = costs_and_bounds(60, num_layers=4)
    for costs in (filtered, told):
        above = costs - bound
        assert above.mean() > -4 * above.std() / np.sqrt(60)


@pytest.mark.slow
def test_no_policy_undercuts_the_bound_over_a_thousand_episodes():
    filtered, told, bound = costs_and_bounds(1000)
    for costs in (filtered, told):
        above = costs - bound
        assert above.mean() > -2 * above.std() / np.sqrt(1000)
    assert (filtered - told).mean() > 0


def test_bad_configurations_are_named():
    with pytest.raises(ValueError, match="acknowledged = True without slot_duration_s"):
        DMoEConfig(acknowledged=True)
    with pytest.raises(ValueError, match="acknowledged = False"):
        OuterLoopJESA(scenario("stale"))
    for options in ({"step_db": 0.0}, {"target": 0.0}, {"target": 1.0}, {"forget": -0.1}, {"forget": 1.1}):
        with pytest.raises(ValueError, match="valid are numbers above 0, between 0 and 1, and from 0 to 1"):
            OuterLoopJESA(scenario("blockage"), **options)
    for forget in (0.0, 1.0):
        OuterLoopJESA(scenario("blockage"), forget=forget)
    with pytest.raises(ValueError, match="valid for a filter of blocked links"):
        FilterJESA(scenario("stale"))
    with pytest.raises(ValueError, match="probing = -1"):
        FilterJESA(scenario("blockage"), probing=-1)
    with pytest.raises(ValueError, match="valid for this bound"):
        blockage_bound(started(1).observed_round(0))
    moving = BlockageConfig(small_scale=GaussMarkovConfig(doppler_hz=4.0, round_duration_s=0.04))
    assert np.isfinite(blockage_bound(started(1, channel=moving).round(0)))


# --- residual scheduling


def test_the_future_changes_nothing_of_what_is_remembered():
    one, other = (started(2, "DMoE-JESA-Residual-v0") for _ in range(2))
    zero = np.zeros((2, *one.action_space.shape), np.float32)
    for layer in range(1, 7):
        same = np.array_equal(one.features, other.features) and np.array_equal(
            one.remembered["blocked"], other.remembered["blocked"]
        )
        assert same == (layer <= 3)
        if layer == 3:
            for row in range(2):
                other.generators[row] = np.random.Generator(np.random.PCG64(99 + row))
        for core in (one, other):
            core.step(zero, core.all_rows)


def test_link_features_are_the_outcomes_told():
    core = started(3, "DMoE-JESA-Residual-v0")
    names = core.feature_names
    assert len(names) == core.features.shape[1]
    zero, faded = np.zeros((3, *core.action_space.shape), np.float32), np.zeros((3, 6, 6))
    for _ in range(6):
        faded = 0.8 * faded + core.delivered - core.lost
        for i, j in ((0, 1), (3, 2), (5, 4)):
            told = core.features[:, names.index(f"told[{i},{j}]")]
            np.testing.assert_array_equal(told, (core.delivered - core.lost)[:, i, j])
            np.testing.assert_allclose(core.features[:, names.index(f"outcomes[{i},{j}]")], faded[:, i, j], rtol=1e-6)
            blocked = core.features[:, names.index(f"blocked[{i},{j}]")]
            np.testing.assert_allclose(blocked, core.remembered["blocked"][:, i, j], rtol=1e-6)
        demand = np.einsum("binj,bij->bi", core.relevance.gate_scores, core.remembered["blocked"]) / 2
        np.testing.assert_allclose(core.features[:, names.index("blocked_demand[0]")], demand[:, 0], rtol=1e-5)
        core.step(zero, core.all_rows)


def test_more_probing_means_more_links_in_use():
    seen = View(started(16)).batch()
    scheduler = FilterJESA(scenario("blockage"), probing=1.0)
    memory = scheduler.remember({}, seen)
    memory["blocked"][:] = 0.5
    used = []
    for factor in (0.25, 4.0):
        none = Corrections.none(16, 6)
        selected, _ = scheduler.corrected(seen | memory, none._replace(probing=none.probing * factor))
        used.append(selected.sum())
    assert used[0] < used[1]

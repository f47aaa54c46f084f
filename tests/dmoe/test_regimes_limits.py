"""Channel knowledge, slot, budget and battery: one cost everywhere, and the rules of `limited_terms` by hand."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import dmoe_gym  # noqa: F401  registers the environments
from dmoe_gym.dmoe import DMoEConfig, Round, Schedule, cost, solve_exact, solve_jesa, terms
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

LIMITS = {
    "perfect": {},
    "stale": {"csi": {"delay_rounds": 1}, "channel": "gauss_markov"},
    "noisy slot": {"csi": {"error_variance": 0.3}, "slot_duration_s": 0.02},
    "slot": {"slot_duration_s": 0.03},
    "budget": {"relevance_budget": 0.7},
    "battery": {"battery_j": 0.003},
    "all": {"relevance_budget": 0.6, "battery_j": 0.004, "slot_duration_s": 0.03, "csi": {"delay_rounds": 2}},
}
SMALL = {"num_experts": 4, "num_states": 2, "num_subcarriers": 8, "num_layers": 5}
IDS = ("DMoE-JESA-v0", "DMoE-JESA-Price-v0", "DMoE-JESA-Sequential-v0", "DMoE-JESA-Residual-v0")


def round_of(rng: np.random.Generator, **overrides) -> Round:
    config = DMoEConfig(**{**SMALL, **overrides})
    experts, states = config.num_experts, config.num_states
    scores = rng.dirichlet(np.full(experts, 0.5), (experts, states))
    return Round(scores, rng.exponential(size=(experts, experts, config.num_subcarriers)), 0.5, config)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_reward_is_minus_the_cost_of_the_true_round(env_id, limits):
    env = gym.make(env_id, **SMALL, **limits)
    env.action_space.seed(1)
    for seed in range(3):
        env.reset(seed=seed)
        terminated, paid, info = False, 0.0, {}
        core = env.unwrapped.core
        current, gathered = env.unwrapped.round, 0.0
        while not terminated:
            layer = core.layer[0]
            _, reward, terminated, _, info = env.step(env.action_space.sample())
            paid += reward
            gathered += info["relevance"]
            if terminated or core.layer[0] != layer:
                # the sequential environment forgets its schedule with the round, unless the episode is over
                if env_id != "DMoE-JESA-Sequential-v0" or terminated:
                    reached = terms(current, env.unwrapped.schedule)
                    assert paid == pytest.approx(-reached.cost, rel=1e-9)
                    assert cost(current, env.unwrapped.schedule) == reached.cost
                if env_id != "DMoE-JESA-Sequential-v0":
                    assert info["outages"] == reached.outages
                current, paid = env.unwrapped.round, 0.0
        if "relevance_budget" in limits:
            missing = max(0.0, SMALL["num_layers"] * limits["relevance_budget"] - gathered)
            assert info["shortfall"] == pytest.approx(missing, abs=1e-9)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("name", ["noisy slot", "all"])
def test_facades_agree(env_id, name):
    limits = {**SMALL, **LIMITS[name]}
    batch = BatchedVecEnv(env_id, 3, **limits)
    batch.seed(7)
    seen = batch.reset()
    singles = [gym.make(env_id, **limits) for _ in range(3)]
    alone = [env.reset(seed=7, options={"environment_index": i})[0] for i, env in enumerate(singles)]
    singles[0].action_space.seed(3)
    for _ in range(60):
        for i in range(3):
            part = {key: values[i] for key, values in seen.items()} if isinstance(seen, dict) else seen[i]
            np.testing.assert_equal(part, alone[i])
        actions = np.array([singles[0].action_space.sample() for _ in range(3)])
        seen, rewards, dones, _ = batch.step(actions)
        for i, env in enumerate(singles):
            alone[i], reward, done, _, _ = env.step(actions[i])
            assert np.float32(reward) == rewards[i]
            assert done == dones[i]
            if done:
                alone[i] = env.reset()[0]


def test_true_channel_is_the_same_under_every_knowledge():
    rounds = []
    for csi in ({}, {"delay_rounds": 2, "error_variance": 0.1}):
        env = gym.make("DMoE-JESA-v0", channel="gauss_markov", csi=csi, **SMALL)
        env.reset(seed=5)
        for _ in range(3):
            env.step(np.zeros(env.action_space.shape, int))
        rounds.append((env.unwrapped.round, env.unwrapped.observed_round))
    np.testing.assert_array_equal(rounds[0][0].gains, rounds[1][0].gains)
    np.testing.assert_array_equal(rounds[0][0].gains, rounds[0][1].gains)
    assert (rounds[1][0].gains != rounds[1][1].gains).any()


def test_outage_spends_the_slot_and_the_own_expert_steps_in():
    config = DMoEConfig(num_experts=2, num_states=1, num_subcarriers=1, max_experts=1, slot_duration_s=0.01)
    scores = np.array([[[0.1, 0.9]], [[0.5, 0.5]]])
    selected = np.array([[[False, True]], [[False, True]]])
    # one hidden state in 10 ms takes 6.5536 bit/s/Hz: gain (2^6.5536 - 1) / 10
    enough = (2**6.5536 - 1) / 10
    for gain, outages in ((enough * 1.001, 0), (enough * 0.999, 1)):
        gains = np.full((2, 2, 1), gain)
        schedule = Schedule(selected, np.array([[[False], [True]], [[False], [False]]]))
        reached = terms(Round(scores, gains, 0.9, config), schedule)
        a = config.computation_energy_j
        assert reached.outages == outages
        rate = 1e6 * np.log2(1 + 10 * gain)
        sent = 0.01 * 65536 / rate if outages == 0 else 0.01 * 0.01
        assert reached.energy.communication == pytest.approx(sent)
        assert reached.energy.computation == pytest.approx(a[1] * 2 if outages == 0 else a[0] + a[1])
        assert reached.relevance == pytest.approx((0.9 + 0.5) / 2 if outages == 0 else (0.1 + 0.5) / 2)
        assert reached.shortfall == pytest.approx(0.0 if outages == 0 else 0.8 / 2)


def test_a_node_without_the_energy_fails_and_pays_what_it_has():
    config = DMoEConfig(num_experts=2, num_states=1, num_subcarriers=2, max_experts=1, battery_j=1.0)
    a = config.computation_energy_j
    scores = np.array([[[0.4, 0.6]], [[0.3, 0.7]]])
    selected = np.array([[[False, True]], [[False, True]]])  # node 1 computes both
    allocated = np.zeros((2, 2, 2), bool)
    allocated[0, 1, 0] = True
    gains = np.ones((2, 2, 2))
    link = config.mean_link_energy_j
    plenty = Round(scores, gains, 0.5, config, battery=np.array([link * 1.1, 2.1 * a[1]]))
    reached = terms(plenty, Schedule(selected, allocated))
    assert reached.relevance == pytest.approx((0.6 + 0.7) / 2)
    assert reached.energy.total == pytest.approx(link + 2 * a[1])
    empty = Round(scores, gains, 0.5, config, battery=np.array([link * 1.1, 1.9 * a[1]]))
    reached = terms(empty, Schedule(selected, allocated))
    assert reached.relevance == 0
    assert reached.shortfall == pytest.approx(0.5)
    assert reached.energy.total == pytest.approx(link + 1.9 * a[1])


@pytest.mark.parametrize("limits", [{"slot_duration_s": 0.02}, {"slot_duration_s": 0.04}, {"battery_j": 0.004}])
def test_failing_never_pays(limits):
    """Without what was lost, and with the own expert where none is left, a schedule costs no more."""
    rng = np.random.default_rng(0)
    lost = 0
    for _ in range(300):
        current = round_of(rng, **limits)
        experts, states = 4, 2
        selected = rng.random((experts, states, experts)) < 0.3
        selected[..., 0] |= ~selected.any(-1)
        allocated = np.zeros(current.gains.shape, bool)
        links = [(i, j) for i in range(experts) for j in range(experts) if i != j and selected[i, :, j].any()]
        for link, m in zip(links, rng.permutation(8), strict=False):
            allocated[*link, m] = True
        for i, j in links[8:]:
            selected[i, :, j] = False
        for i in range(experts):
            selected[i, ~selected[i].any(-1), i] = True
        reached = terms(current, Schedule(selected, allocated))
        delivered = selected.copy()
        if "slot_duration_s" in limits:
            for i, j in links[:8]:
                efficiency = current.spectral_efficiency[i, j][allocated[i, j]].sum()
                if selected[i, :, j].sum() * 65536 > efficiency * 1e6 * limits["slot_duration_s"]:
                    delivered[i, :, j] = False
                    allocated[i, j] = False
                    lost += 1
            for i in range(experts):
                delivered[i, ~delivered[i].any(-1), i] = True
        assert terms(current, Schedule(delivered, allocated)).cost <= reached.cost + 1e-12
    assert lost > 0 or "battery_j" in limits


def test_perfect_limits_change_nothing():
    """A slot without end, a full battery: the limited formula gives the plain one's cost."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        plain = round_of(rng)
        loose = Round(plain.gate_scores, plain.gains, 0.5, plain.config.replace(slot_duration_s=1e6, battery_j=1e6))
        schedule = solve_jesa(plain)
        assert cost(loose, schedule) == pytest.approx(cost(plain, schedule), rel=1e-12)


@pytest.mark.parametrize("duration", [0.012, 0.02, 0.03, 0.06])
def test_exact_optimum_with_a_slot_equals_enumeration(duration):
    rng = np.random.default_rng(2)
    shape = {"num_experts": 2, "num_states": 2, "num_subcarriers": 2, "max_experts": 2}
    for _ in range(10):
        current = round_of(rng, **shape, slot_duration_s=duration, shortfall_price=float(rng.choice([1.0, 100.0])))
        sets = [(1, 0), (0, 1), (1, 1)]
        best = np.inf
        for choice in np.ndindex(3, 3, 3, 3):
            selected = np.array([sets[k] for k in choice], bool).reshape(2, 2, 2)
            for first, second in ((-1, -1), (0, -1), (-1, 0), (0, 1), (1, 0), (1, -1), (-1, 1)):
                subcarrier = np.array([[-1, first], [second, -1]])
                best = min(best, cost(current, Schedule.from_subcarriers(selected, subcarrier, 2)))
        exact, iterative = solve_exact(current), solve_jesa(current)
        assert cost(current, exact) == pytest.approx(best, rel=1e-9)
        assert terms(current, exact).outages == 0
        assert cost(current, iterative) >= best - 1e-12
        assert terms(current, iterative).outages == 0


@pytest.mark.parametrize(
    ("field", "value"), [("slot_duration_s", 0.0), ("relevance_budget", 1.5), ("battery_j", -1.0), ("csi", {"d": 1})]
)
def test_bad_limits_are_refused(field, value):
    with pytest.raises(ValueError, match=rf"(?i){field}"):
        DMoEConfig(**{field: value})


def test_des_environment_refuses_what_binds_hidden_states_together():
    with pytest.raises(ValueError, match="battery_j"):
        gym.make("DMoE-DES-v0", battery_j=1.0)
    env = gym.make("DMoE-DES-v0", csi={"error_variance": 0.2})
    env.reset(seed=0)
    env.step(np.ones(4, np.int8))

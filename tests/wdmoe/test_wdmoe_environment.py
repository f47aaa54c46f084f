"""WDMoE-v0 and WDMoE-Joint-v0: what actions decode to, what they cost, and that nobody beats the optimum."""

from __future__ import annotations

import copy
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_for_stable_baselines

import dmoe_gym  # noqa: F401
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from dmoe_gym.wdmoe import (
    Allocation,
    allocate_bandwidth,
    check,
    cost,
    latency,
    lower_bound,
    mean_relevance,
    reference_latency,
    scenario,
    solve_exact,
    solve_greedy,
    top_k,
)
from dmoe_gym.wdmoe.env.joint import DiscountCore, JointCore
from dmoe_gym.wdmoe.solvers.priced import discounted_relevance, select_discounted
from dmoe_gym.wdmoe.system import WDMOE, allocation_terms

IDS = ("WDMoE-v0", "WDMoE-Joint-v0")
CORES = (DiscountCore, JointCore)
SCENARIOS = ("testbed", "mixtral", "crowd")
STALE = {"csi": {"delay_rounds": 1, "error_variance": 0.1}, "channel": {"kind": "gauss_markov"}}


def started(core_class, size=3, seed=0, scenario="testbed", **overrides):
    core = core_class(size, WDMOE.configuration(scenario, overrides))
    core.seed(core.all_rows, [(seed, index) for index in range(size)])
    core.start(core.all_rows)
    return core


def random_actions(core, generator):
    """Actions from everywhere in the space, its corners included."""
    space = core.action_space
    actions = generator.uniform(-1, 1, (core.num_envs, *space.shape)).astype(np.float32)
    return np.where(generator.random(actions.shape) < 0.2, np.sign(actions), actions)


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_checkers_pass_without_a_warning(env_id, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, scenario=name).unwrapped, skip_render_check=True)
        # gate weights are a matrix; SB3's extractor flattens it
        warnings.filterwarnings("ignore", "Your observation gate_weights has an unconventional shape")
        check_for_stable_baselines(gym.make(env_id, scenario=name).unwrapped)


@pytest.mark.parametrize("core_class", CORES)
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("overrides", [{}, STALE], ids=["perfect", "stale"])
def test_every_action_decodes_to_a_valid_allocation_with_the_latency_and_cost_of_the_physics(
    core_class, name, overrides
):
    core = started(core_class, scenario=name, num_blocks=4, **overrides)
    generator = np.random.default_rng(1)
    while not core.terminated.any():
        blocks = [core.round(row) for row in core.all_rows]
        core.step(random_actions(core, generator), core.all_rows)
        for row, block in enumerate(blocks):
            allocation = core.schedule(row)
            assert check(block, allocation) == []
            for term, value in allocation_terms(block, allocation).items():
                assert core.terms[term][row] == pytest.approx(value, rel=1e-12, abs=1e-12), term
            assert core.rewards[row] == -core.terms["cost"][row]
            parts = sum(core.terms[f"latency_{part}_s"][row] for part in ("downlink", "uplink", "computation"))
            assert parts + core.terms["latency_waiting_s"][row] == pytest.approx(core.terms["latency_s"][row])


@pytest.mark.parametrize("core_class", CORES)
def test_observations_are_the_block_in_the_units_of_the_docstrings(core_class):
    core = started(core_class)
    config, observed = core.config, core.observations
    for row in core.all_rows:
        block = core.round(row)
        assert (observed["gate_weights"][row] == block.gate_weights).all()
        share = config.bandwidth_hz / config.num_devices
        np.testing.assert_allclose(
            observed["downlink_efficiency"][row], np.log2(1 + block.downlink_cn0 / share), rtol=1e-6
        )
        np.testing.assert_allclose(observed["uplink_efficiency"][row], np.log2(1 + block.uplink_cn0 / share), rtol=1e-6)
        assert observed["relevance_budget"][row, 0] == pytest.approx(block.relevance_budget, rel=1e-6)
        ratio = observed["computation_time"][row] / block.computation_time
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)
        assert core.budget[row] == pytest.approx(block.relevance_budget, rel=1e-14)
    assert observed["progress"][0, 0] == np.float32(1 / config.num_blocks)


@pytest.mark.parametrize("name", SCENARIOS)
def test_action_zero_is_the_gates_choice_at_optimal_bandwidths(name):
    core = started(DiscountCore, scenario=name)
    blocks = [core.round(row) for row in core.all_rows]
    core.step(np.zeros((3, *core.action_space.shape), np.float32), core.all_rows)
    for row, block in enumerate(blocks):
        selected = top_k(block)
        assert (core.schedule(row).selected == selected).all()
        best = latency(block, Allocation(selected, allocate_bandwidth(block, selected))).total
        assert core.terms["latency_s"][row] == pytest.approx(best, rel=1e-12)
    assert not core.terms["repairs"].any()


def test_a_bandwidth_logit_of_one_doubles_the_optimal_share_before_renormalising():
    core = started(DiscountCore, size=1)
    block = core.round(0)
    action = np.zeros((1, *core.action_space.shape), np.float32)
    action[0, 1] = 1
    core.step(action, core.all_rows)
    wishes = allocate_bandwidth(block, top_k(block)) * np.array([1, 2, 1, 1])
    expected = wishes / wishes.sum() * core.config.bandwidth_hz
    np.testing.assert_allclose(core.schedule(0).bandwidth, expected, rtol=1e-9)


def test_discounts_select_per_token_by_weight_less_discount():
    generator = np.random.default_rng(0)
    for _ in range(50):
        weights, discounts = generator.dirichlet(np.ones(5), 6), generator.uniform(-1, 1, 5)
        selected = np.empty(weights.shape, np.bool_)
        select_discounted(weights, discounts, 0.4, 2, selected)
        for token, chosen in zip(weights - 0.4 * discounts, selected, strict=True):
            order = np.argsort(-token)
            expected = {order[0]} | {u for u in order[1:2] if token[u] >= 0}
            assert set(np.flatnonzero(chosen)) == expected
        relevance = discounted_relevance(weights, discounts, 0.4, np.empty(2), np.empty(2))
        assert relevance == pytest.approx(np.where(selected, weights, 0).sum(axis=1).mean(), rel=1e-14)


def test_only_the_ratios_of_large_discounts_matter_and_they_spend_the_budget():
    core = started(DiscountCore, size=1)
    generator = np.random.default_rng(0)
    for _ in range(5):
        block = core.round(0)
        discounts = generator.uniform(0.5, 1, 4)
        selections = []
        for factor in (1.0, 0.9):
            one = copy.deepcopy(core)
            one.step(np.r_[np.zeros(4), factor * discounts].astype(np.float32)[None], one.all_rows)
            selections.append(one.schedule(0).selected)
            assert one.terms["repairs"][0] > 0
        assert (selections[0] == selections[1]).all()
        relevance = mean_relevance(block, selections[0])
        dropped = np.where(selections[0], block.gate_weights, 1).min()
        assert block.relevance_budget - 1e-9 <= relevance
        # dropping or moving one more token would break it: there is less to spend than any one token has
        assert relevance < block.relevance_budget + 1 / block.config.num_tokens
        assert dropped > 0
        core.skip_round(core.all_rows)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("spread_db", [0, 60])
def test_encoding_an_allocation_and_decoding_it_keeps_its_latency(name, spread_db):
    """Within 1e-5, also where the channels of the devices lie 60 dB apart."""
    core = started(JointCore, size=1, scenario=name)
    core.path_gains *= 10 ** (-np.linspace(0, spread_db / 10, core.config.num_devices))
    core._observe_round(core.all_rows)
    for _ in range(4):
        block = core.round(0)
        allocation = solve_greedy(block)
        core.step(core.encode(allocation)[None], core.all_rows)
        assert (core.schedule(0).selected == allocation.selected).all()
        assert core.terms["latency_s"][0] == pytest.approx(latency(block, allocation).total, rel=1e-5)
        assert core.terms["repairs"][0] == 0


def test_encoded_shares_reach_from_the_largest_to_e_to_the_minus_16_of_it():
    """Shares under that are raised to it; what lies between keeps its ratio."""
    core = started(JointCore, size=1)
    selected = np.zeros((core.config.num_tokens, 4), bool)
    selected[:, 0] = selected[::2, 1] = selected[0, 2] = True
    for middle, raised in ((1e4, True), (1e8 * np.exp(-15), False)):
        bandwidth = np.array([1e8, middle, 1e-2 if raised else 1e8 * np.exp(-16), 0.0])
        action = core.encode(Allocation(selected, bandwidth))
        assert action in core.action_space
        assert action[[0, 2, 3]].tolist() == [1, -1, 0]
        decoded = np.exp(8 * action[:3].astype(float))
        assert decoded[2] / decoded[0] == pytest.approx(np.exp(-16), rel=1e-5)
        if not raised:
            assert decoded[1] / decoded[0] == pytest.approx(np.exp(-15), rel=1e-5)
        np.testing.assert_array_equal(action[4:].reshape(-1, 4), np.where(selected, 1, -1))


@pytest.mark.parametrize("core_class", CORES)
def test_before_the_first_step_nobody_serves_and_no_bandwidth_is_handed_out(core_class):
    schedule = started(core_class).schedule(0)
    assert not schedule.selected.any()
    assert not schedule.bandwidth.any()


@pytest.mark.parametrize("core_class", CORES)
def test_no_action_beats_the_exact_optimum_and_the_bound_is_lower(core_class):
    core = started(core_class, size=8, num_blocks=3, num_tokens=8)
    generator = np.random.default_rng(2)
    while not core.terminated.any():
        blocks = [core.round(row) for row in core.all_rows]
        optima = [cost(block, solve_exact(block)) for block in blocks]
        for block, optimum in zip(blocks, optima, strict=True):
            assert lower_bound(block) / reference_latency(block.config) <= optimum * (1 + 1e-9)
        layer = core.layer.copy()
        for _ in range(10):
            trial = copy.deepcopy(core)
            trial.step(random_actions(trial, generator), trial.all_rows)
            assert (-trial.rewards >= np.array(optima) * (1 - 1e-8)).all()
        assert (core.layer == layer).all()
        core.skip_round(core.all_rows)


def test_discounts_can_say_nearly_optimal_schedules():
    """A search over the four discounts comes within half a percent of the exact optimum's latency."""
    core = started(DiscountCore, size=6, seed=3)
    generator = np.random.default_rng(0)
    optima = np.array([cost(core.round(row), solve_exact(core.round(row))) for row in core.all_rows])
    best_actions = np.zeros((6, 8), np.float32)
    best_costs = np.full(6, np.inf)
    for trial in range(600):
        spread = 1.0 if trial < 100 else 0.1
        actions = np.clip(best_actions + generator.normal(0, spread, (6, 8)), 0, 1).astype(np.float32)
        actions[:, :4] = 0
        one = copy.deepcopy(core)
        one.step(actions, one.all_rows)
        better = -one.rewards < best_costs
        best_actions[better], best_costs[better] = actions[better], -one.rewards[better]
    assert (best_costs / optima).mean() < 1.005


def test_imperfect_knowledge_changes_what_is_seen_and_not_what_happens():
    knows, guesses = started(DiscountCore), started(DiscountCore, csi={"error_variance": 0.2})
    for _ in range(3):
        for row in knows.all_rows:
            assert (knows.round(row).downlink_gains == guesses.round(row).downlink_gains).all()
            assert (knows.round(row).gate_weights == guesses.round(row).gate_weights).all()
        assert (knows.observed_cn0 == knows.cn0).all()
        assert (guesses.observed_cn0 != guesses.cn0).any()
        for core in (knows, guesses):
            core.step(np.zeros((3, 8), np.float32), core.all_rows)
        assert (guesses.terms["latency_s"] > knows.terms["latency_s"]).all()


@pytest.mark.parametrize("env_id", IDS)
def test_three_facades_play_the_same_episodes(env_id):
    """Environment i of every batch, and the single environment with that index, bit for bit over two episodes."""
    size, steps = 3, 12
    single = [gym.make(env_id, num_blocks=5).unwrapped for _ in range(size)]
    vector = gym.make_vec(env_id, num_envs=size, num_blocks=5, autoreset_mode="SameStep")
    stable = BatchedVecEnv(env_id, size, num_blocks=5)
    stable.seed(7)
    observations = [
        [env.reset(seed=7, options={"environment_index": index})[0] for index, env in enumerate(single)],
        vector.reset(seed=7)[0],
        stable.reset(),
    ]
    vector.action_space.seed(0)
    for _ in range(steps):
        for index in range(size):
            for key, value in observations[0][index].items():
                assert (value == observations[1][key][index]).all()
                assert (value == observations[2][key][index]).all()
        actions = vector.action_space.sample()
        results = [env.step(action) for env, action in zip(single, actions, strict=True)]
        vectorised, rewards, terminated, _, _ = vector.step(actions)
        batched, stable_rewards, dones, _ = stable.step(actions)
        assert [result[1] for result in results] == rewards.tolist()
        assert (rewards.astype(np.float32) == stable_rewards).all()
        assert [result[2] for result in results] == terminated.tolist() == dones.tolist()
        first = [env.reset()[0] if result[2] else result[0] for env, result in zip(single, results, strict=True)]
        observations = [first, vectorised, batched]


@pytest.mark.parametrize("core_class", CORES)
@pytest.mark.parametrize("overrides", [{}, STALE], ids=["perfect", "stale"])
def test_episodes_do_not_depend_on_actions_batch_or_on_leaving_early(core_class, overrides):
    whole, left = started(core_class, size=4, **overrides), started(core_class, size=2, **overrides)
    generator = np.random.default_rng(3)
    while not whole.terminated.any():
        whole.step(random_actions(whole, generator), whole.all_rows)
    left.step(random_actions(left, generator), left.all_rows)
    for core in (whole, left):
        core.start(core.all_rows)
    for key, values in left.observations.items():
        assert (values == whole.observations[key][:2]).all(), key


@pytest.mark.parametrize("core_class", CORES)
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda core: pickle.loads(pickle.dumps(core))])
def test_copies_go_on_like_the_original(core_class, clone):
    core = started(core_class, **STALE)
    core.step(random_actions(core, np.random.default_rng(0)), core.all_rows)
    twin = clone(core)
    actions = random_actions(core, np.random.default_rng(1))
    for one in (core, twin):
        one.step(actions, one.all_rows)
    assert (core.rewards == twin.rewards).all()
    for key in core.observations:
        assert (core.observations[key] == twin.observations[key]).all()
    for name in core.terms:
        assert (core.terms[name] == twin.terms[name]).all()


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="unexpected keyword argument 'speed'"):
        gym.make("WDMoE-v0", speed=3)
    with pytest.raises(ValueError, match="scenario = 'nowhere'"):
        gym.make("WDMoE-v0", scenario="nowhere")
    env = gym.make("WDMoE-v0").unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action\[2\] = nan"):
        env.step(np.array([0, 0, np.nan, 0, 0, 0, 0, 0], np.float32))
    with pytest.raises(NotImplementedError):
        env.encode(None)
    assert env.config == scenario("testbed")

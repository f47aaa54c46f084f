"""Views of the same episodes: flat observations, choices for bits, vector rewards, every node for itself."""

from __future__ import annotations

import pickle
from fractions import Fraction
from operator import mul

import gymnasium as gym
import numpy as np
import pytest
from dmoe_builders import DES, INFERENCE, JOINT, make
from gymnasium.wrappers import FlattenObservation
from rollouts import assert_equal, draw_actions, short_episodes, steps_across_ends

import dmoe_gym
from dmoe_gym.dmoe import solve_jesa, terms
from dmoe_gym.dmoe.env.joint import encode_joint
from dmoe_gym.evaluation import evaluate
from dmoe_gym.facades.multi_objective import MultiObjectiveEnv
from dmoe_gym.facades.pettingzoo import equal_parts
from dmoe_gym.facades.single import SingleEnv
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from dmoe_gym.registration import VIEWS

MULTI_OBJECTIVE = (JOINT, "WDMoE-v0", INFERENCE)


def test_every_id_has_a_flat_view_and_bits_have_choices():
    assert {shown.env_id for shown in VIEWS.values() if shown.flat} == set(dmoe_gym.ENVIRONMENTS)
    assert f"{JOINT[:-3]}-Flat-v0" in VIEWS
    for env_id in (DES, "ChannelAwareGating-v0"):
        options = {"top_k": 2} if env_id != DES else {}
        assert isinstance(make(env_id, **options).action_space, gym.spaces.MultiBinary)
        for addition in ("MultiDiscrete", "MultiDiscrete-Flat"):
            space = make(f"{env_id[:-3]}-{addition}-v0", **options).action_space
            assert isinstance(space, gym.spaces.MultiDiscrete)
            assert set(space.nvec) == {2}


@pytest.mark.parametrize("view", VIEWS)
def test_views_show_the_same_episodes(view):
    """Flat observations are Gymnasium's `FlattenObservation`; in every facade, across ends."""
    env_id, flat = VIEWS[view].env_id, VIEWS[view].flat
    options = short_episodes(env_id)
    original = make(env_id, **options)
    expected = FlattenObservation(original) if flat else original
    seen, envs = make(view, **options), gym.make_vec(view, num_envs=1, **options)
    for_sb3 = BatchedVecEnv(view, 1, **options)
    assert seen.observation_space == expected.observation_space == envs.single_observation_space
    assert for_sb3.observation_space == seen.observation_space
    for_sb3.seed(4)

    def only(observations):
        return observations[0] if flat else {key: values[0] for key, values in observations.items()}

    observation = expected.reset(seed=4)[0]
    for other in (seen.reset(seed=4)[0], only(envs.reset(seed=4)[0]), only(for_sb3.reset())):
        assert_equal(other, observation)
    ended = False
    for action in draw_actions(seen.action_space, steps_across_ends(env_id), 1)[:, 0]:
        last, reward, ended, _, info = expected.step(action)
        own = seen.step(action)
        assert_equal(own[0], last)
        assert (own[1], own[2], own[4].keys()) == (reward, ended, info.keys())
        batch, rewards, *_ = envs.step(action[None])
        assert_equal(only(batch), last)
        assert rewards[0] == reward
        batch, _, _, infos = for_sb3.step(action[None])
        if ended:
            assert_equal(infos[0]["terminal_observation"], last)
            break
        assert_equal(only(batch), last)
    assert ended


class FirstChoice:
    """Acts by what it sees alone, flat or not."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        flat = isinstance(observation, np.ndarray)
        size = len(observation) if flat else len(observation["progress"])
        return np.zeros((size, make(JOINT).action_space.shape[0]), int), None


def test_policies_are_evaluated_on_views():
    rows, flat = (evaluate(FirstChoice(), name, seeds=[1, 2]) for name in (JOINT, "DMoE-JESA-Flat-v0"))
    assert [row["cost"] for row in rows] == [row["cost"] for row in flat]


# --- vector rewards


@pytest.mark.parametrize("env_id", MULTI_OBJECTIVE)
def test_vector_rewards_times_the_systems_weights_are_the_reward(env_id):
    mo_gymnasium = pytest.importorskip("mo_gymnasium")
    options = short_episodes(env_id)
    vector = mo_gymnasium.make(f"mo-{env_id}", **options)
    linear = mo_gymnasium.wrappers.LinearReward(vector, weight=vector.unwrapped.reward_weights)
    scalar = make(env_id, **options)
    space = vector.unwrapped.reward_space
    assert space.shape == vector.unwrapped.reward_weights.shape == (2,)
    assert (space.high == 0).all()  # minus what is spent, minus what is lost
    assert (space.low == -np.inf).all()
    linear.reset(seed=2)
    scalar.reset(seed=2)
    for action in draw_actions(scalar.action_space, 12, 1)[:, 0]:
        _, reward, ended, _, info = linear.step(action)
        _, expected, _, _, terms_of = scalar.step(action)
        assert reward == expected
        spent, lost = info["vector_reward"]
        assert vector.unwrapped.reward_space.contains(info["vector_reward"])
        assert lost == -(terms_of["shortfall"] if env_id != INFERENCE else ended * (1 - terms_of["correct"]))
        if "latency_s" not in terms_of:
            joules = terms_of["energy_communication_J"] + terms_of["energy_computation_J"]
            assert spent == pytest.approx(-joules / scalar.config.reference_energy_j, rel=1e-9)
        if ended:
            linear.reset()
            scalar.reset()


def test_only_the_last_digits_of_what_is_spent_are_moved_for_an_exact_product(monkeypatch):
    """With a linear algebra library that rounds a product of vectors once, which few rewards show."""
    monkeypatch.setattr(np, "dot", lambda one, other: float(sum(map(mul, map(Fraction, one), map(Fraction, other)))))
    env, generator, moved = MultiObjectiveEnv(JOINT, num_layers=1), np.random.default_rng(0), 0
    for _ in range(2000):
        spent, lost, price = generator.exponential(), generator.random(), generator.uniform(0, 200)
        reward = -(spent + price * lost)
        monkeypatch.setattr(SingleEnv, "step", lambda self, action, reward=reward: (None, reward, False, False, {}))
        monkeypatch.setattr(env.core, "priced", lambda row, pair=(lost, price): pair)
        env.reward_weights = np.array([1.0, price])
        vector = env.step(None)[1]
        assert np.dot(vector, env.reward_weights) == reward
        assert vector[1] == -lost
        assert abs(vector[0] + spent) <= 4 * np.spacing(abs(reward))
        moved += vector[0] != reward + price * lost
    assert moved > 0


# --- every node for itself


def nodes(**options):
    pytest.importorskip("pettingzoo")
    return dmoe_gym.parallel_env(JOINT, **options)


def actions_of(env, joint):
    """A central action as one action per node."""
    bits, links = env.config.num_states * env.config.num_experts, env.config.num_experts - 1
    wishes = joint[bits * env.config.num_experts :]
    return {
        agent: np.r_[joint[bits * node : bits * (node + 1)], wishes[links * node : links * (node + 1)]]
        for node, agent in enumerate(env.possible_agents)
    }


@pytest.mark.parametrize(
    "options", [{}, {"collision": "repair", "scenario": "battery"}, {"reward": "own", "observe": "neighbours"}]
)
def test_pettingzoos_own_tests_pass(options):
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    parallel_api_test(nodes(**options), num_cycles=20)
    parallel_seed_test(lambda: nodes(**options), num_cycles=5)


@pytest.mark.parametrize("scenario", ["small", "scarce", "battery", "budget"])
def test_under_repair_the_team_is_the_central_environment(scenario):
    env, central = nodes(scenario=scenario, collision="repair"), make(JOINT, scenario=scenario)
    observations, _ = env.reset(seed=3)
    seen, _ = central.reset(seed=3)
    for joint in draw_actions(central.action_space, central.config.num_layers, 1)[:, 0]:
        for node, agent in enumerate(env.agents):
            own = observations[agent]
            assert env.observation_space(agent).contains(own)
            np.testing.assert_array_equal(own["gate_scores"], seen["gate_scores"][node])
            np.testing.assert_array_equal(own["spectral_efficiency"], seen["spectral_efficiency"][node])
            if "battery" in seen:
                assert own["battery"] == seen["battery"][node]
        assert_equal(env.global_state(), seen)
        observations, rewards, ended, _, infos = env.step(actions_of(env, joint))
        seen, reward, terminated, _, info = central.step(joint)
        assert sum(rewards.values()) == sum(reversed(rewards.values())) == reward
        assert set(ended.values()) == {terminated}
        joules = info["energy_communication_J"] + info["energy_computation_J"]
        assert sum(own["energy_J"] for own in infos.values()) == pytest.approx(joules)
        assert np.mean([own["relevance"] for own in infos.values()]) == pytest.approx(info["relevance"])
        for node, agent in enumerate(observations):
            np.testing.assert_array_equal(observations[agent]["asked"], central.schedule.selected[node])
    assert env.agents == []


@pytest.mark.parametrize("scenario", ["small", "stale", "battery"])
def test_without_collisions_lost_and_repaired_rounds_cost_the_same(scenario):
    lost, repair = (nodes(scenario=scenario, collision=collision) for collision in ("lost", "repair"))
    central = make(JOINT, scenario=scenario)
    for env in (lost, repair, central):
        env.reset(seed=5)
    for _ in range(central.config.num_layers):
        schedule = solve_jesa(central.observed_round)
        joint = encode_joint(schedule.selected, schedule.allocated.argmax(-1))
        (_, one, *_, infos), (_, other, *_) = (env.step(actions_of(env, joint)) for env in (lost, repair))
        central.step(joint)
        assert sum(one.values()) == pytest.approx(sum(other.values()), rel=1e-12)
        assert all(info["collisions"] == 0 for info in infos.values())


def test_links_on_one_subcarrier_pay_and_deliver_nothing():
    env, central = nodes(scenario="small", reward="own"), make(JOINT, scenario="small")
    env.reset(seed=6)
    central.reset(seed=6)
    round = central.round
    # nodes 0 and 1 both ask node 2 over subcarrier 3, the others compute at home
    selected = np.eye(4, dtype=bool)[:, None]
    selected[:2, 0] = np.eye(4, dtype=bool)[2]
    subcarrier = np.full((4, 4), 3)
    observations, rewards, *_, infos = env.step(actions_of(env, encode_joint(selected, subcarrier)))
    config, home = central.config, np.eye(4, dtype=bool)
    # their hidden states fall back on their own experts, and their transmissions come on top
    sent = config.transmit_power_w * config.state_size_bit / round.rates[[0, 1], 2, 3]
    energy = config.computation_energy_j.copy()
    energy[:2] += sent
    scores = round.gate_scores[:, 0][home]
    short = np.maximum(0, round.attainable_threshold[:, 0] - scores)
    expected = -(energy / config.reference_energy_j + config.shortfall_price * short / 4)
    np.testing.assert_allclose(list(rewards.values()), expected, rtol=1e-6)
    assert [info["collisions"] for info in infos.values()] == [1, 1, 0, 0]
    for node in range(4):
        np.testing.assert_array_equal(observations[f"node_{node}"]["asked"], selected[node])
        np.testing.assert_array_equal(observations[f"node_{node}"]["arrived"][0], home[node])
    alone = terms(round, central.schedule.__class__.from_subcarriers(home[:, None], np.full((4, 4), -1), 16))
    assert -sum(rewards.values()) * config.reference_energy_j == pytest.approx(
        alone.cost * config.reference_energy_j + sent.sum()
    )


def test_neighbours_announce_the_subcarriers_of_their_last_round():
    env = nodes(scenario="small", observe="neighbours")
    first, _ = env.reset(seed=7)
    assert not first["node_0"]["announced"].any()
    selected = np.zeros((4, 1, 4), bool)
    selected[:, 0] = np.roll(np.eye(4, dtype=bool), 1, axis=1)
    subcarrier = np.arange(16).reshape(4, 4)
    observations, *_ = env.step(actions_of(env, encode_joint(selected, subcarrier)))
    used = np.zeros((4, 16))
    used[np.arange(4), [subcarrier[node, (node + 1) % 4] for node in range(4)]] = 1
    for agent in observations:
        np.testing.assert_array_equal(observations[agent]["announced"], used)


@pytest.mark.parametrize("count", [2, 3, 7, 32])
def test_parts_sum_to_the_whole_in_any_order(count):
    generator = np.random.default_rng(count)
    for reward in (*-generator.exponential(size=50), 0.0, -1e-300, -1e5):
        parts = equal_parts(reward, count)
        assert sum(parts) == sum(parts[::-1]) == sum(generator.permutation(parts)) == reward
        np.testing.assert_allclose(parts, reward / count, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reward": "mine"}, "reward = 'mine': Input should be 'team' or 'own'"),
        ({"collision": "share"}, "collision = 'share'"),
        ({"observe": "all"}, "observe = 'all'"),
        ({"reward": "own", "scenario": "budget"}, "reward = 'own'.*budget"),
        ({"scenario": "smal"}, "scenario = 'smal'"),
        ({"num_layer": 3}, "unexpected keyword argument 'num_layer'"),
        ({"render_mode": "human"}, "render_mode = 'human'"),
    ],
)
def test_bad_options_of_the_nodes_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        nodes(**options)
    with pytest.raises(ValueError, match="env_id = 'WDMoE-v0'"):
        dmoe_gym.parallel_env("WDMoE-v0")


def test_bad_actions_of_the_nodes_are_refused():
    env = nodes()
    with pytest.raises(RuntimeError, match="reset"):
        env.step({})
    env.reset(seed=1)
    good = {agent: env.action_space(agent).sample() for agent in env.agents}
    with pytest.raises(ValueError, match="actions: has node_0; valid is one of each of node_0, node_1"):
        env.step({"node_0": good["node_0"]})
    with pytest.raises(ValueError, match="node_1: action"):
        env.step({**good, "node_1": None})


# --- every node a row


@pytest.mark.parametrize(
    "options",
    [
        {"scenario": "scarce"},
        {"scenario": "battery", "collision": "repair"},
        {"scenario": "blockage", "num_layers": 3, "reward": "own", "observe": "neighbours"},
    ],
)
def test_rows_are_the_agents_of_the_parallel_environment(options):
    """Observations, rewards, ends and infos of two environments at once, across an end; the team's to 32 bit."""
    from dmoe_gym.facades.nodes import NodesVecEnv

    rows = NodesVecEnv("DMoE-Nodes-v0", 2, **options)
    nodes_of = rows.core.config.num_experts
    assert rows.num_envs == 2 * nodes_of
    assert rows.seed(4)[::nodes_of] == list(dict.fromkeys(rows.seed(4)))
    envs = [nodes(**options) for _ in range(2)]
    seen = rows.reset()
    observed = [env.reset(seed=4, options={"environment_index": index})[0] for index, env in enumerate(envs)]
    assert rows.observation_space == envs[0].observation_space("node_0")
    assert rows.action_space == envs[0].action_space("node_0")
    returns = np.zeros(rows.num_envs)
    for step in range(rows.core.config.num_layers):
        for row in range(rows.num_envs):
            own = observed[row // nodes_of][f"node_{row % nodes_of}"]
            assert_equal({key: values[row] for key, values in seen.items()}, own)
        actions = draw_actions(rows.action_space, 1, rows.num_envs, seed=step)[0]
        each = actions.reshape(2, nodes_of, -1)
        results = [env.step(dict(zip(env.agents, part, strict=True))) for env, part in zip(envs, each, strict=True)]
        observed = [result[0] for result in results]
        seen, rewards, dones, infos = rows.step(actions)
        expected = np.array([[result[1][f"node_{node}"] for node in range(nodes_of)] for result in results])
        returns += expected.ravel()
        np.testing.assert_allclose(rewards, expected.ravel(), rtol=1e-6)
    assert dones.all()
    for row, info in enumerate(infos):
        assert_equal(info["terminal_observation"], observed[row // nodes_of][f"node_{row % nodes_of}"])
        assert info["episode"]["r"] == pytest.approx(returns[row])
        assert not info["TimeLimit.truncated"]


def test_pettingzoos_render_test_passes():
    pytest.importorskip("pettingzoo")
    from pettingzoo.test import render_test
    from pettingzoo.utils import parallel_to_aec

    # the test makes one for a window, too, which nothing here opens, and draws none
    render_test(lambda render_mode: parallel_to_aec(nodes(render_mode=None if render_mode == "human" else render_mode)))


@pytest.mark.parametrize("collision", ["lost", "repair"])
def test_copies_of_the_nodes_go_on_identically(collision):
    env = nodes(scenario="battery", collision=collision, observe="neighbours")
    env.reset(seed=2)
    actions = draw_actions(env.action_space("node_0"), 4, len(env.agents))
    env.step(dict(zip(env.agents, actions[0], strict=True)))
    copy = pickle.loads(pickle.dumps(env))
    for each in actions[1:]:
        both = [one.step(dict(zip(one.agents, each, strict=True))) for one in (env, copy)]
        for part, counterpart in zip(*both, strict=True):
            assert_equal(part, counterpart)


@pytest.mark.parametrize("env_id", ["DMoE-Nodes-v0", "DMoE-Nodes-Residual-v0"])
def test_bad_actions_of_rows_are_refused(env_id):
    from dmoe_gym.facades.nodes import NodesVecEnv

    rows = NodesVecEnv(env_id, 2, scenario="small")
    good = np.stack([rows.action_space.sample() for _ in range(rows.num_envs)])
    with pytest.raises(RuntimeError, match="reset"):
        rows.step(good)
    rows.reset()
    for bad in (good[:-1], None, "x", np.full(good.shape, np.nan), good[0]):
        with pytest.raises(ValueError, match="action"):
            rows.step(bad)
    rows.step(good)

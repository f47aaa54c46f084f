"""Every node for itself: `dmoe_gym.parallel_env` and rows of `NodesVecEnv`, episodes of the central environment."""

from __future__ import annotations

import multiprocessing
import pickle
from functools import partial

import numpy as np
import pytest
from dmoe_builders import JOINT, make
from rollouts import assert_equal, digest, draw_actions

import dmoe_gym
from dmoe_gym.dmoe import solve_jesa, terms
from dmoe_gym.dmoe.env.joint import encode_joint
from dmoe_gym.facades.nodes import NodesVecEnv
from dmoe_gym.facades.pettingzoo import equal_parts

# parts of the central observation that are no node's own
TOLD_TO_ALL = ("threshold", "progress", "budget_left", "computation_energy")


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


@pytest.mark.parametrize("collision", ["lost", "repair"])
@pytest.mark.parametrize("scenario", ["scarce", "budget", "harvest", "blockage"])
def test_a_node_sees_its_parts_of_the_central_observation_and_its_own_past_alone(scenario, collision):
    env = nodes(scenario=scenario, collision=collision, num_layers=4)
    observations, _ = env.reset(seed=3)
    states, experts = env.config.num_states, env.config.num_experts
    for step in range(4):
        central = env.global_state()
        for node, agent in enumerate(env.agents):
            own = dict(observations[agent])
            past = [own.pop(key) for key in ("asked", "arrived")]
            assert [each.shape for each in past] == [(states, experts)] * 2
            assert own.keys() == central.keys()
            for key, value in own.items():
                part = central[key] if key in TOLD_TO_ALL else np.atleast_1d(central[key][node])
                assert_equal(value, part, key)
        if step:
            asked = np.stack([observations[agent]["asked"] for agent in env.agents])
            np.testing.assert_array_equal(asked, env.core.schedule(0).selected)
        drawn = draw_actions(env.action_space("node_0"), 1, experts, seed=step)[0]
        observations, *_ = env.step(dict(zip(env.agents, drawn, strict=True)))


@pytest.mark.parametrize("scenario", ["scarce", "blockage"])
def test_what_others_do_is_not_seen_but_by_their_announcements(scenario):
    """Node 0 computes at home, where nobody's transmissions reach it; the others do this, or something else."""
    envs = [nodes(scenario=scenario, num_layers=4, observe="neighbours") for _ in range(2)]
    firsts = [env.reset(seed=4)[0]["node_0"] for env in envs]
    assert_equal(*firsts)
    silent = np.zeros(envs[0].action_space("node_0").shape, int)
    silent[: envs[0].config.num_states * envs[0].config.num_experts : envs[0].config.num_experts] = 1
    for step in range(4):
        seen = []
        for number, env in enumerate(envs):
            drawn = draw_actions(env.action_space("node_0"), 1, len(env.agents), seed=2 * step + number)[0]
            drawn[0] = silent
            observations, *_ = env.step(dict(zip(env.agents, drawn, strict=True)))
            seen.append(observations["node_0"])
        heard = [each.pop("announced") for each in seen]
        assert (heard[0] != heard[1]).any()
        assert_equal(*seen)
        assert not heard[0][0].any()


@pytest.mark.parametrize("scenario", ["small", "scarce", "battery", "budget"])
def test_under_repair_the_team_is_the_central_environment(scenario):
    env, central = nodes(scenario=scenario, collision="repair"), make(JOINT, scenario=scenario)
    observations, _ = env.reset(seed=3)
    seen, _ = central.reset(seed=3)
    for joint in draw_actions(central.action_space, central.config.num_layers, 1)[:, 0]:
        for agent in env.agents:
            assert env.observation_space(agent).contains(observations[agent])
        assert_equal(env.global_state(), seen)
        observations, rewards, ended, _, infos = env.step(actions_of(env, joint))
        seen, reward, terminated, _, info = central.step(joint)
        assert sum(rewards.values()) == sum(reversed(rewards.values())) == reward
        for name, value in central.core.terms.items():
            np.testing.assert_array_equal(env.core.terms[name], value, name)
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


def _begun(factory):
    """An environment of a factory, and what its first episode shows first."""
    env = factory()
    if isinstance(env, NodesVecEnv):
        env.seed(5)
        return env, env.reset()
    return env, env.reset(seed=5)[0]


def _played(env, actions):
    """What steps return, infos apart: an episode's tells the time of day."""
    return [env.step(each)[:3] for each in actions]


def _elsewhere(factories, copies, actions, queue):
    begun = [_begun(factory) for factory in factories]
    whole = [(first, _played(env, each)) for (env, first), each in zip(begun, actions, strict=True)]
    rest = [_played(pickle.loads(copy), each[2:]) for copy, each in zip(copies, actions, strict=True)]
    queue.put((whole, rest))


def test_a_spawned_process_plays_the_same_episodes_and_goes_on_with_copies():
    """By a pickled factory from the start, and by a pickled environment from mid-episode; rows across an end."""
    options = {"scenario": "battery", "num_layers": 4, "observe": "neighbours"}
    factories = [partial(dmoe_gym.parallel_env, JOINT, **options), partial(NodesVecEnv, "DMoE-Nodes-v0", 2, **options)]
    (env, first), (rows, first_rows) = map(_begun, factories)
    drawn = draw_actions(rows.action_space, 6, rows.num_envs)
    actions = [[dict(zip(env.agents, each, strict=False)) for each in drawn[:4]], list(drawn)]
    begins = [_played(each, taken[:2]) for each, taken in zip((env, rows), actions, strict=True)]
    copies = [pickle.dumps(each) for each in (env, rows)]
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_elsewhere, args=(factories, copies, actions, queue))
    process.start()
    whole, rest = queue.get(timeout=120)
    process.join(timeout=30)
    assert process.exitcode == 0
    ends = [_played(each, taken[2:]) for each, taken in zip((env, rows), actions, strict=True)]
    assert ends[1][1][2].all()
    expected = [(first, begins[0] + ends[0]), (first_rows, begins[1] + ends[1])]
    for found, own in ((whole, expected), (rest, ends)):
        assert digest(found) == digest(own)


@pytest.mark.parametrize("env_id", ["DMoE-Nodes-v0", "DMoE-Nodes-Residual-v0"])
def test_bad_actions_of_rows_are_refused(env_id):
    rows = NodesVecEnv(env_id, 2, scenario="small")
    good = np.stack([rows.action_space.sample() for _ in range(rows.num_envs)])
    with pytest.raises(RuntimeError, match="reset"):
        rows.step(good)
    rows.reset()
    for bad in (good[:-1], None, "x", np.full(good.shape, np.nan), good[0]):
        with pytest.raises(ValueError, match="action"):
            rows.step(bad)
    rows.step(good)


@pytest.mark.parametrize("env_id", ["DMoE-JESA-v0", "DMoE-Nodes-Flat-v0", "WDMoE-v0", "CartPole-v1", None])
def test_rows_of_an_id_without_nodes_are_refused(env_id):
    with pytest.raises(ValueError, match=r"env_id = .*: valid are DMoE-Nodes-v0 and DMoE-Nodes-Residual-v0"):
        NodesVecEnv(env_id, 2)

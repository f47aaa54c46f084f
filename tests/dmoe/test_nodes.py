"""Nodes that schedule for themselves: what rules do, what a node may know, and what correcting a rule is."""

from __future__ import annotations

import itertools

import gymnasium as gym
import numpy as np
import pytest
from rollouts import assert_equal

from dmoe_gym.dmoe import DMoEConfig, Round, Schedule, solve_exact
from dmoe_gym.dmoe.config import NodesConfig
from dmoe_gym.dmoe.env.joint import encode_joint
from dmoe_gym.dmoe.env.nodes import NodesCore
from dmoe_gym.dmoe.physics import terms
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.nodes import Auction, Bandit, NodeCorrections, RandomAccess, Sensing, Shares
from dmoe_gym.evaluation import evaluate
from dmoe_gym.evaluation.run import evaluate_bound
from dmoe_gym.facades.nodes import NodesVecEnv
from dmoe_gym.facades.view import create_view
from dmoe_gym.registration import create_core, system_of

NODES, RESIDUAL = "DMoE-Nodes-v0", "DMoE-Nodes-Residual-v0"
# by what they hear of others: nothing
SILENT = (Shares, RandomAccess, Sensing, Bandit)


def observed(scenario: str, size: int = 16, seed: int = 0, **overrides: object) -> dict[str, np.ndarray]:
    view = create_view(NODES, size, scenario, overrides)
    view.core.seed(view.core.all_rows, [(seed, row) for row in range(size)])
    view.core.start(view.core.all_rows)
    return view.batch()


def configured(scenario: str, **overrides: object) -> NodesConfig:
    return system_of(NODES).configuration(scenario, overrides)


def rows_of(scheduler: object, scenario: str, episodes: int = 16, **overrides: object) -> list[dict[str, float]]:
    return evaluate(JointPolicy(scheduler), NODES, scenario=scenario, seeds=range(episodes), **overrides)


def started(size: int, scenario: str, **overrides: object) -> NodesCore:
    core = create_view(NODES, size, scenario, overrides).core
    core.seed(core.all_rows, [(0, row) for row in range(size)])
    core.start(core.all_rows)
    return core


# --- physics


@pytest.mark.parametrize("collision", ["lost", "repair"])
def test_a_nodes_action_space_says_every_feasible_schedule_of_its_own(collision):
    """Enumerated: one or two of three experts for each of two hidden states, a subcarrier of its own for every link."""
    experts, states, subcarriers = 3, 2, 3
    subsets = [np.array(bits) for bits in itertools.product((0, 1), repeat=experts) if 1 <= sum(bits) <= 2]
    cases = []
    for node, *chosen in itertools.product(range(experts), *[subsets] * states):
        links = [other for other in range(experts) if other != node]
        used = [other for other in links if any(each[other] for each in chosen)]
        for taken in itertools.permutations(range(subcarriers), len(used)):
            wishes = dict.fromkeys(links, 0) | dict(zip(used, taken, strict=True))
            cases.append((node, np.stack(chosen), dict(zip(used, taken, strict=True)), np.array(list(wishes.values()))))
    sizes = {"num_experts": experts, "num_states": states, "num_subcarriers": subcarriers, "max_experts": 2}
    core = started(len(cases), "small", **sizes, threshold=0.0, collision=collision, observe="neighbours")
    space = core.node_action_space()
    actions = np.zeros((len(cases), experts, *space.shape), int)
    for node in range(experts):
        actions[:, node, node : states * experts : experts] = 1  # the others stay at home
    for row, (node, chosen, _, wishes) in enumerate(cases):
        actions[row, node] = np.r_[chosen.ravel(), wishes]
        assert space.contains(actions[row, node])
    core.step(core.joined(actions), core.all_rows)
    for row, (node, chosen, used, _) in enumerate(cases):
        np.testing.assert_array_equal(core.nodes.asked[row, node], chosen)
        np.testing.assert_array_equal(core.nodes.arrived[row, node], chosen)
        expected = {(node, subcarrier) for subcarrier in used.values()}
        assert set(map(tuple, np.argwhere(core.nodes.announced[row]))) == expected
        assert {other: core.batch.subcarrier[row, node, other] for other in used} == used


def test_links_deliver_where_nobody_shares_their_subcarrier_and_only_there():
    core = started(64, "small", num_states=2, observe="neighbours")
    config = core.config
    experts, states, subcarriers = config.num_experts, config.num_states, config.num_subcarriers
    generator = np.random.default_rng(0)
    selected = np.zeros((64, experts, states, experts), bool)
    np.put_along_axis(selected, generator.integers(experts, size=(64, experts, states, 1)), True, -1)
    wished = generator.integers(subcarriers // 2, size=(64, experts, experts))
    core.step(core.checked_actions(encode_joint(selected, wished)), core.all_rows)
    away = selected.any(2) & ~np.eye(experts, dtype=bool)
    alone = np.zeros_like(away)
    for row, i, j in np.argwhere(away):
        alone[row, i, j] = ((wished[row] == wished[row, i, j]) & away[row]).sum() == 1
    lost = away & ~alone
    assert lost.any()
    assert (away & alone).any()
    arrived = selected & ~lost[:, :, None]
    home = ~arrived.any(-1)
    arrived[..., range(experts), :, range(experts)] |= np.moveaxis(home, 1, 0)
    np.testing.assert_array_equal(core.nodes.asked, selected)
    np.testing.assert_array_equal(core.nodes.arrived, arrived)
    np.testing.assert_array_equal(core.nodes.collisions, lost.sum(-1))


def test_only_the_subcarriers_of_the_last_round_are_announced():
    """A node that was silent has announced nothing, and nothing is left of another episode."""
    core = started(1, "small", observe="neighbours")
    home, links = np.eye(4, dtype=bool)[:, None], np.arange(16).reshape(4, 4)
    away = np.roll(home, 1, axis=-1)
    for selected in (away, home, away):
        core.step(core.checked_actions(encode_joint(selected, links)[None]), core.all_rows)
        used = np.zeros((4, 16))
        for i, j in np.argwhere(selected[:, 0] & ~home[:, 0]):
            used[i, links[i, j]] = 1
        np.testing.assert_array_equal(core.observations["announced"][0], used)
    core.start(core.all_rows)
    assert not core.observations["announced"].any()


# --- rules


@pytest.mark.parametrize("scenario", ["scarce", "blockage"])
def test_shares_never_collide(scenario):
    rule = Shares(configured(scenario))
    _, subcarrier = rule.schedule(observed(scenario))
    used = [row[row >= 0] for row in subcarrier.reshape(len(subcarrier), -1)]
    assert all(len(set(row)) == len(row) for row in used)
    assert sum(map(len, used)) > 0


def test_rounds_without_collisions_cost_the_same_lost_or_repaired():
    """Where no threshold is enforced: a repair cures shortfalls, too."""
    rule = Shares(configured("blockage"))
    lost, repair = (rows_of(rule, "blockage", 4, collision=kind, num_layers=4) for kind in ("lost", "repair"))
    for one, other in zip(lost, repair, strict=True):
        told = [key for key, value in one.items() if isinstance(value, float) and key != "predict_ms"]
        assert [one[key] for key in told] == pytest.approx([other[key] for key in told], rel=1e-12)
    assert sum(row["shortfall"] for row in lost) > 0


def test_one_node_with_all_subcarriers_schedules_as_the_optimum_does():
    """Where the other nodes' experts are all theirs, nobody else transmits: the node's plan is the round's optimum."""
    config = configured("scarce")
    for seed in range(20):
        seen = observed("scarce", 1, seed)
        scores = np.broadcast_to(np.eye(6, dtype=np.float32)[None, :, None, :], (1, 6, 2, 6)).copy()
        scores[0, 3] = seen["gate_scores"][0, 3]
        seen["gate_scores"] = scores
        rule = Shares(config)
        rule.closed = np.where(np.arange(6) == 3, 0.0, np.inf)[None, :, None, None]
        selected, subcarrier = rule.schedule(seen)
        assert (subcarrier[0, [0, 1, 2, 4, 5]] == -1).all()
        gains = (2 ** seen["spectral_efficiency"][0].astype(float) - 1) / config.mean_snr
        round = Round(scores[0], gains, float(seen["threshold"][0, 0]), config)
        plan = Schedule.from_subcarriers(selected[0], subcarrier[0], config.num_subcarriers)
        best = terms(round, solve_exact(round)).cost
        assert best * (1 - 1e-9) <= terms(round, plan).cost <= best * 1.02


@pytest.mark.parametrize("kind", SILENT)
@pytest.mark.parametrize("scenario", ["scarce", "blockage"])
def test_a_node_decides_by_what_it_sees_itself(kind, scenario):
    """Other nodes' scores, links, deliveries and pasts may be anything: the first node's decisions stay."""
    config, view = configured(scenario), create_view(NODES, 4, scenario, {})
    view.core.seed(view.core.all_rows, [(3, row) for row in range(4)])
    view.core.start(view.core.all_rows)
    one, other = kind(config), kind(config)
    memories: list[dict[str, np.ndarray]] = [{}, {}]
    shared = ("threshold", "progress", "computation_energy")
    generator = np.random.default_rng(1)
    for _ in range(3):
        seen = view.batch()
        mixed = {
            key: values if key in shared else np.concatenate([values[:, :1], values[generator.permutation(4), 1:]], 1)
            for key, values in seen.items()
        }
        plans = []
        for number, (rule, given) in enumerate(((one, seen), (other, mixed))):
            memories[number] = rule.remember(memories[number], given)
            plans.append(rule.schedule({**given, **memories[number]}))
        if kind in (Shares, Bandit):  # the others draw numbers whose count depends on all nodes' losses
            np.testing.assert_array_equal(plans[0][0][:, 0], plans[1][0][:, 0])
            np.testing.assert_array_equal(plans[0][1][:, 0], plans[1][1][:, 0])
        view.core.step(view.core.checked_actions(encode_joint(*plans[0])), view.core.all_rows)


def test_announcements_bring_nodes_towards_the_optimum_and_end_collisions():
    config = configured("scarce")
    seen = observed("scarce")
    for announcements in (1, 4):
        _, subcarrier = Auction(config, announcements).schedule(seen)
        assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in subcarrier.reshape(16, -1))
    auction, alone = (rows_of(rule, "scarce", 3) for rule in (Auction(config, 4), Shares(config)))
    exact = evaluate_bound("exact", NODES, scenario="scarce", seeds=range(3))
    auction, alone, exact = (np.mean([row["cost"] for row in rows]) for rows in (auction, alone, exact))
    assert exact * (1 - 1e-9) <= auction < exact + 0.3 * (alone - exact)


def test_what_is_tried_and_lost_is_given_up():
    """Two nodes that keep one subcarrier part sooner or later, and then stay."""
    config = configured("small", num_experts=2, num_subcarriers=2, num_layers=40, max_experts=1)
    rule = Sensing(config, 1)
    view = create_view(NODES, 8, "small", {"num_experts": 2, "num_subcarriers": 2, "num_layers": 40, "max_experts": 1})
    view.core.seed(view.core.all_rows, [(0, row) for row in range(8)])
    view.core.start(view.core.all_rows)
    policy, state = JointPolicy(rule), None
    for _ in range(40):
        actions, state = policy.predict(view.batch(), state)
        view.core.step(view.core.checked_actions(actions), view.core.all_rows)
    assert not (state["open"][:, 0] & state["open"][:, 1]).any()


@pytest.mark.parametrize("scenario", ["scarce", "blockage"])
def test_action_zero_is_the_rule_and_nothing_is_saved_by_it(scenario):
    options = {"scenario": scenario, "num_layers": 4}
    config = configured(**options)
    rule = [row["cost"] for row in rows_of(Shares(config, scenario == "blockage"), episodes=4, **options)]
    entries = create_view(RESIDUAL, 1, scenario, {}).action_space.shape

    class Zero:
        def predict(self, observation, state=None, episode_start=None, deterministic=True):
            return np.zeros((len(observation), *entries), np.float32), None

    corrected = [row["cost"] for row in evaluate(Zero(), RESIDUAL, seeds=range(4), **options)]
    assert corrected == rule
    for reward in ("own", "team"):
        saving = NodesVecEnv(RESIDUAL, 4, **options, reward=reward, residual={"reward": "saving"})
        saving.seed(1)
        saving.reset()
        for _ in range(4):
            _, rewards, *_ = saving.step(np.zeros((saving.num_envs, *saving.action_space.shape), np.float32))
            np.testing.assert_allclose(rewards, 0, atol=1e-12)


def test_corrections_of_one_change_nothing_and_others_do():
    config, seen = configured("scarce"), observed("scarce")
    rule = Shares(config)
    none = NodeCorrections.none(16, 6)
    assert_equal(dict(enumerate(rule.corrected(seen, none))), dict(enumerate(rule.schedule(seen))))
    bold = rule.corrected(seen, none._replace(boldness=np.ones((16, 6))))[1]
    assert (bold >= 6).sum() > (rule.schedule(seen)[1] >= 6).sum()  # two subcarriers do not come out even
    ceding = rule.corrected(seen, none._replace(boldness=-np.ones((16, 6))))[1]
    assert (ceding >= 6).sum() < (rule.schedule(seen)[1] >= 6).sum()
    dear = none._replace(prices=np.where(np.eye(6, dtype=bool), 1.0, 1e3) * np.ones((16, 6, 6)))
    assert (rule.corrected(seen, dear)[1] >= 0).sum() < (rule.schedule(seen)[1] >= 0).sum()


# a system whose rounds take milliseconds without a compiler
TINY = {"num_experts": 3, "num_states": 2, "num_subcarriers": 4, "num_layers": 4}


def tiny_core(env_id: str, **overrides: object):
    core = create_core(env_id, 2, "scarce", {**TINY, **overrides})
    core.seed(core.all_rows, [(6, row) for row in range(2)])
    core.start(core.all_rows)
    return core


@pytest.mark.parametrize("collision", ["lost", "repair"])
def test_what_a_round_was_to_every_node_adds_up_to_the_round(collision):
    """Whom a node asked, who served, what it announced, and its parts of energy, relevance, shortfall and cost."""
    core = tiny_core(NODES, collision=collision, observe="neighbours", round_energy_j=1e-4)
    generator = np.random.default_rng(7)
    collided = 0
    while not core.terminated.all():
        actions = generator.integers(0, core.action_space.nvec, (2, len(core.action_space.nvec)))
        core.step(core.checked_actions(actions), core.all_rows)
        nodes, told = core.nodes, core.terms
        for row in range(2):
            selected, subcarrier = core.selected[row], core.subcarrier[row]
            users = np.array([(subcarrier == m).sum() for m in range(4)])
            lost = (subcarrier >= 0) & (users[subcarrier] > 1)
            np.testing.assert_array_equal(nodes.announced[row], [np.isin(range(4), own) for own in subcarrier])
            np.testing.assert_array_equal(nodes.collisions[row], lost.sum(1))
            served = selected & ~lost[:, None]
            nobody = ~served.any(-1)
            served[nobody] = np.eye(3, dtype=bool)[:, None].repeat(2, 1)[nobody]
            np.testing.assert_array_equal(nodes.asked[row], selected)
            np.testing.assert_array_equal(nodes.arrived[row], served)
            collided += lost.any()
        for parts, whole in (
            (nodes.relevance.mean(1), told["relevance"]),
            (nodes.shortfall.mean(1), told["shortfall"]),
            (nodes.energy_j.sum(1), told["energy_communication_J"] + told["energy_computation_J"]),
            (nodes.cost.sum(1), told["cost"]),
        ):  # without a compiler relevance is added up in 32 bit
            np.testing.assert_allclose(parts, whole, rtol=1e-6)
    assert (collided > 0) == (collision == "lost")
    core.start(core.all_rows)
    for key in ("asked", "arrived", "announced"):
        assert not core.observations[key].any(), key


def test_features_of_corrections_are_functions_of_what_nodes_see():
    """Recomputed from the observations of `DMoE-Nodes-v0` under the same rule, node by node."""
    core, plain = tiny_core(RESIDUAL), tiny_core(NODES)
    config, rule = plain.config, Shares(plain.config)
    owner = np.arange(4) % 3
    outcomes, short_before, before = np.zeros((2, 3, 3)), np.zeros((2, 3)), None
    while not plain.terminated.all():
        seen = {key: values.astype(float) for key, values in plain.observations.items()}
        short = np.zeros((2, 3))
        if before is not None:
            asked, arrived = seen["asked"].any(2), seen["arrived"].any(2)
            outcomes = 0.8 * outcomes + np.where(asked, np.where(arrived, 1, -1), 0)
            scores = before["gate_scores"]
            wanted = np.minimum(before["threshold"][:, :, None], np.sort(scores)[..., -config.max_experts :].sum(-1))
            short = np.maximum(0, wanted - (scores * seen["arrived"]).sum(-1)).mean(-1)
            short_before = 0.8 * short_before + short
        rates = seen["spectral_efficiency"]
        nodes = np.ones((2, 3))
        told = {
            "score": seen["gate_scores"].mean(2),
            "best_score": seen["gate_scores"].max(2),
            "rate": np.where((owner == np.arange(3)[:, None])[None, :, None], rates, 0).max(-1) / 4,
            "best_rate": rates.max(-1) / 4,
            "computation": np.broadcast_to(seen["computation_energy"][:, None] - 1, (2, 3, 3)),
            "own": np.broadcast_to(np.eye(3), (2, 3, 3)),
            "asked": seen["asked"].any(2),
            "arrived": seen["arrived"].any(2),
            "outcomes": outcomes / 2,
            "blocked": np.zeros((2, 3, 3)),
            "in_doubt": np.zeros((2, 3, 3)),
            "threshold": nodes * seen["threshold"],
            "progress": nodes * seen["progress"],
            "owns_rest": nodes * [1, 0, 0],  # of four subcarriers three come out even, the fourth is the first node's
            "short": 5 * short,
            "short_before": 2 * short_before,
        }
        by_node = core.node_views()["features"]
        wide = {name: values if values.ndim == 3 else values[..., None] for name, values in told.items()}
        assert by_node.shape[-1] == sum(values.shape[-1] for values in wide.values()) == 11 * 3 + 5
        found = np.split(by_node, np.cumsum([values.shape[-1] for values in wide.values()])[:-1], axis=-1)
        for (name, values), part in zip(wide.items(), found, strict=True):
            np.testing.assert_allclose(part, np.clip(values, -5, 5), rtol=1e-5, atol=1e-6, err_msg=name)
        before = {**seen, "threshold": seen["threshold"] * np.ones((1, 3))}
        plain.step(plain.checked_actions(encode_joint(*rule.schedule(plain.observations))), plain.all_rows)
        core.step(np.zeros((2, *core.action_space.shape), np.float32), core.all_rows)
    assert np.abs(outcomes).max() > 1
    assert short_before.any()


@pytest.mark.parametrize(("scenario", "kinds"), [("scarce", 1), ("blockage", 2)])
def test_corrections_are_a_price_of_every_expert_and_a_boldness_of_every_node(scenario, kinds):
    """And a caution on every link where links are blocked; each from -1 to 1, as `entries` says."""
    core = create_core(RESIDUAL, 1, scenario, {})
    experts = core.config.num_experts
    sizes = {"price": experts**2, "boldness": experts, "caution": experts**2}
    assert list(core.entries) == list(sizes)[: 1 + kinds]
    entries = sum(sizes[name] for name in core.entries)
    assert core.action_space == gym.spaces.Box(-1, 1, (entries,), np.float32)
    assert core.node_action_space() == gym.spaces.Box(-1, 1, (entries // experts,), np.float32)
    assert core.node_observation_space() == gym.spaces.Box(-5, 5, (11 * experts + 5,), np.float32)


def test_nodes_have_the_central_configuration_and_their_own_fields():
    assert set(NodesConfig.model_fields) - set(DMoEConfig.model_fields) == {"collision", "reward", "observe"}

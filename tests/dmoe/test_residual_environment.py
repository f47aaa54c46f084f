"""DMoE-JESA-Residual-v0: action 0, the features, what corrections do."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from dmoe_gym.dmoe import SCENARIOS, DMoEConfig, scenario
from dmoe_gym.dmoe.config import ResidualConfig
from dmoe_gym.dmoe.env.residual import GLOBAL_FEATURES, NODE_FEATURES, all_feature_names
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.tuned import CORRECTABLE, shipped, strongest, strongest_name
from dmoe_gym.evaluation import evaluate
from dmoe_gym.facades.stable_baselines import BatchedVecEnv
from dmoe_gym.facades.view import View
from dmoe_gym.registration import create_core

JOINT, RESIDUAL = "DMoE-JESA-v0", "DMoE-JESA-Residual-v0"
# shorter where a round takes long
SHORTENED = {"large": {"num_layers": 1}, "paper": {"num_layers": 4}}


def pair(name: str, size: int = 4, **overrides):
    """The residual environments and the joint ones on the same episodes."""
    cores = [create_core(env_id, size, name, overrides) for env_id in (RESIDUAL, JOINT)]
    for core in cores:
        core.seed(core.all_rows, [(11, row) for row in range(size)])
        core.start(core.all_rows)
    return cores


def actions_of(core, value: float = 0.0) -> np.ndarray:
    return np.full((core.num_envs, *core.action_space.shape), value, np.float32)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n == "large" else ()) for n in SCENARIOS])
def test_action_0_is_the_strongest_scheduler_bit_for_bit(name):
    overrides = SHORTENED.get(name, {})
    residual, joint = pair(name, 1 if name == "large" else 4, **overrides)
    chosen = strongest_name(scenario(name))
    found = shipped("strongest")[name]
    assert chosen == found["scheduler"] == min(found["costs"], key=found["costs"].get)
    # a shortened scenario is none of the record
    residual.underneath = strongest(residual.config.replace(residual=ResidualConfig(underneath=chosen)))
    policy, memory = JointPolicy(residual.underneath), None
    while not joint.terminated.all():
        actions, memory = policy.predict(View(joint).batch(), memory)
        joint.step(actions, joint.all_rows)
        residual.step(actions_of(residual), residual.all_rows)
        for field in ("rewards", "term_values", "selected", "subcarrier"):
            np.testing.assert_array_equal(getattr(residual, field), getattr(joint, field), err_msg=field)


@pytest.mark.parametrize("name", CORRECTABLE)
def test_corrections_of_one_change_nothing_in_any_correctable_scheduler(name):
    home = {
        "Lagrangian": "budget",
        "Lagrangian-adaptive": "budget",
        "JESA-battery": "battery",
        "JESA-harvest": "harvest",
        "JESA-filter": "blockage",
    }
    uncertain = "stale" if name.startswith("JESA-expected") else "small"
    where = home.get(name, uncertain)
    known = JointPolicy(CORRECTABLE[name](scenario(where)))
    entries = create_core(RESIDUAL, 1, where, {}).action_space.shape[0]
    zero = evaluate(Zero(entries), RESIDUAL, scenario=where, residual={"underneath": name}, seeds=range(3))
    rows = evaluate(known, JOINT, scenario=where, seeds=range(3))
    assert [row["cost"] for row in zero] == [row["cost"] for row in rows]


class Zero:
    """Action 0 of so many entries."""

    def __init__(self, entries: int) -> None:
        self.entries = entries

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.zeros((len(observation), self.entries), np.float32), state


def test_a_dearer_node_is_used_less_and_a_cheaper_one_more():
    """At a fixed round the optimum's use of a node cannot rise with its price; single-pass here is next to it."""
    used = {}
    for value in (-1.0, 0.0, 1.0):
        core, _ = pair("recorded", 64)
        actions = actions_of(core)
        actions[:, 2] = value
        core.step(actions, core.all_rows)
        used[value] = core.selected[:, :, :, 2].sum()
    assert used[-1.0] > used[0.0] > used[1.0]


def test_more_caution_means_fewer_outages():
    outages = {}
    for value in (-1.0, 1.0):
        core = create_core(RESIDUAL, 64, "stale", {})
        core.seed(core.all_rows, [(3, row) for row in range(64)])
        core.start(core.all_rows)
        actions = actions_of(core)
        actions[:, -core.config.num_experts :] = value
        outages[value] = 0.0
        while not core.terminated.all():
            core.step(actions, core.all_rows)
            outages[value] += core.terms["outages"].sum()
    assert outages[1.0] < outages[-1.0]


@pytest.mark.parametrize("name", ["battery", "budget", "small"])
def test_savings_are_the_difference_to_action_0_on_the_same_episode(name):
    kinds = [{}, {}, {"residual": {"reward": "saving"}}, {"residual": {"reward": "saving"}}]
    zero, own, saving, nothing = (create_core(RESIDUAL, 3, name, {**kind, "num_layers": 4}) for kind in kinds)
    for core in (zero, own, saving, nothing):
        core.seed(core.all_rows, [(4, row) for row in range(3)])
        core.start(core.all_rows)
    choices = np.random.default_rng(1)
    while not zero.terminated.all():
        actions = choices.uniform(-1, 1, (3, *zero.action_space.shape)).astype(np.float32)
        zero.step(actions_of(zero), zero.all_rows)
        own.step(actions, own.all_rows)
        saving.step(actions, saving.all_rows)
        nothing.step(actions_of(nothing), nothing.all_rows)
        np.testing.assert_array_equal(saving.rewards, own.rewards - zero.rewards)
        np.testing.assert_array_equal(saving.term_values, own.term_values)
        assert not nothing.rewards.any()


# --- features


def test_features_are_named_and_their_number_depends_on_k_alone():
    for name in ("small", "battery", "stale", "budget"):
        env = gym.make(RESIDUAL, scenario=name).unwrapped
        names = env.feature_names
        assert len(names) == len(set(names)) == env.observation_space.shape[0]
        assert names == all_feature_names(env.config.num_experts)
    with pytest.raises(AttributeError, match="keys"):
        _ = gym.make(JOINT).unwrapped.feature_names


def entry(core, name: str) -> np.ndarray:
    """A feature of all environments, (B,) or (B, K)."""
    names, experts = list(core.feature_names), core.config.num_experts
    if name in names:
        return core.features[:, names.index(name)]
    return core.features[:, names.index(f"{name}[0]") : names.index(f"{name}[{experts - 1}]") + 1]


TINY = {"num_experts": 3, "num_states": 2, "num_subcarriers": 6, "num_layers": 3}


@pytest.mark.parametrize("overrides", [{}, {**TINY, "residual": {"underneath": "JESA"}}], ids=["whole", "tiny"])
@pytest.mark.parametrize("name", ["battery", "budget", "stale"])
def test_features_are_functions_of_what_the_joint_environment_shows(name, overrides):
    """Recomputed in numpy from the observations of `DMoE-JESA-v0` so far."""
    residual, joint = pair(name, **overrides)
    policy = JointPolicy(residual.underneath)
    rounds, experts, snr = joint.config.num_layers, joint.config.num_experts, joint.config.mean_snr
    scores, before = [], np.ones((4, experts))
    others = ~np.eye(experts, dtype=bool)
    for layer in range(1, rounds + 1):
        seen = View(joint).batch()
        scores.append(seen["gate_scores"].mean(2))
        so_far = np.mean(scores, 0)
        left = (rounds - layer + 1) / rounds
        dear = np.where(others, 1 / np.where(others, seen["spectral_efficiency"].max(-1), 1), 0) * np.log2(1 + snr)
        told = {
            "demand": scores[-1].sum(1) - 1,
            "demand_mean": so_far.sum(1) - 1,
            "own_demand_mean": np.diagonal(so_far, axis1=1, axis2=2) - 1 / experts,
            "computation": seen["computation_energy"] / seen["computation_energy"].mean(-1, keepdims=True) - 1,
            "sending": np.log(dear.sum(2) / (experts - 1)),
            "receiving": np.log(dear.sum(1) / (experts - 1)),
            "threshold": seen["threshold"][:, 0],
            "progress": seen["progress"][:, 0],
            "battery": np.zeros((4, experts)),
        }
        if name == "battery":
            share = seen["battery"]
            told["battery"] = share
            told["battery_pace"] = np.log(left / share)
            told["battery_used"] = (before - share) * rounds
            before = share
        if name == "budget":
            told["budget_left"] = seen["budget_left"][:, 0]
            told["budget_pace"] = np.log(seen["budget_left"][:, 0] / left / joint.config.relevance_budget)
        for feature, value in told.items():
            np.testing.assert_allclose(
                entry(residual, feature), np.clip(value, -5, 5), rtol=1e-4, atol=2e-5, err_msg=feature
            )
        joint.step(policy.actions(seen), joint.all_rows)
        residual.step(actions_of(residual), residual.all_rows)


def test_the_future_changes_nothing_of_the_features():
    """Environments whose generators differ from the third round on show the same until then."""
    one, other = (create_core(RESIDUAL, 2, "battery", {}) for _ in range(2))
    for core in (one, other):
        core.seed(core.all_rows, [(5, row) for row in range(2)])
        core.start(core.all_rows)
    for layer in range(1, 6):
        same = np.array_equal(one.features, other.features)
        assert same == (layer <= 3)
        if layer == 3:
            for row in range(2):
                other.generators[row] = np.random.Generator(np.random.PCG64(99 + row))
        for core in (one, other):
            core.step(actions_of(core), core.all_rows)


def test_permuted_nodes_give_permuted_features():
    core = create_core(RESIDUAL, 1, "battery", {"computation_energy_range": (1.0, 1.0)})
    core.seed([0], [(7, 0)])
    core.start(core.all_rows)
    order = np.array([3, 0, 5, 1, 2, 4])
    twin = create_core(RESIDUAL, 1, "battery", {"computation_energy_range": (1.0, 1.0)})
    twin.seed([0], [(8, 0)])
    twin.start(twin.all_rows)
    twin.relevance.gate_scores[0] = core.relevance.gate_scores[0][order][..., order]
    twin.channel.gains[0] = core.channel.gains[0][order][:, order]
    twin._observe_round(twin.all_rows, True)
    for name in NODE_FEATURES:
        np.testing.assert_allclose(
            entry(twin, name)[0], entry(core, name)[0][order], rtol=1e-6, atol=1e-6, err_msg=name
        )
    for name in GLOBAL_FEATURES:
        np.testing.assert_array_equal(entry(twin, name), entry(core, name))


# --- facades


def test_history_stacks_the_last_observations_of_the_episode():
    plain = BatchedVecEnv(RESIDUAL, 2, scenario="small", num_layers=3)
    stacked = BatchedVecEnv(RESIDUAL, 2, scenario="small", num_layers=3, history=4)
    width = plain.observation_space.shape[0]
    assert stacked.observation_space.shape == (4 * width,)
    for env in (plain, stacked):
        env.seed(1)
    kept = [plain.reset()]
    seen = stacked.reset()
    for _ in range(7):
        parts = np.split(seen, 4, axis=-1)
        wanted = [np.zeros_like(kept[0])] * (4 - len(kept[-4:])) + kept[-4:]
        np.testing.assert_array_equal(parts, wanted)
        action = np.zeros((2, *plain.action_space.shape), np.float32)
        now, _, dones, infos = plain.step(action)
        seen, _, _, stacked_infos = stacked.step(action)
        if dones.all():
            last = stacked_infos[0]["terminal_observation"]
            np.testing.assert_array_equal(last[-width:], infos[0]["terminal_observation"])
            np.testing.assert_array_equal(last[-2 * width : -width], kept[-1][0])
            kept = []
        kept.append(now)
    with pytest.raises(ValueError, match="history = 0"):
        BatchedVecEnv(RESIDUAL, 2, history=0)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="underneath = 'DES': valid are JESA, single-pass"):
        gym.make(RESIDUAL, residual={"underneath": "DES"})
    with pytest.raises(ValueError, match="battery_j = None"):
        gym.make(RESIDUAL, scenario="small", residual={"underneath": "JESA-battery"})


def test_other_configurations_get_what_fits_their_regime():
    assert strongest_name(DMoEConfig(battery_j=0.01)) == "JESA-battery"
    assert strongest_name(DMoEConfig(relevance_budget=0.5)) == "Lagrangian-adaptive"
    assert strongest_name(DMoEConfig(slot_duration_s=0.03)) == "JESA"
    assert strongest_name(DMoEConfig()) == "single-pass"
    assert strongest_name(DMoEConfig(csi={"delay_rounds": 1}, channel="gauss_markov")) == "JESA-expected"
    rician = DMoEConfig(csi={"delay_rounds": 1}, channel="rician", slot_duration_s=0.03)
    assert strongest_name(rician) == "JESA"

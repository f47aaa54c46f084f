"""DMoE-Inference: the environment's answers are the network's, and what a schedule leaves out is not heard."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from dmoe_builders import INFERENCE, INFERENCE_JOINT, make
from rollouts import ConstantPolicy, assert_equal

from dmoe_gym.dmoe import Schedule, energy, solve_jesa
from dmoe_gym.dmoe.inference import InferenceConfig, inference_scenario
from dmoe_gym.dmoe.policies import JointPolicy
from dmoe_gym.dmoe.schedulers.rounds import JESA
from dmoe_gym.evaluation import evaluate, evaluate_bound, evaluate_line_up, line_up_of
from dmoe_gym.models.digits import load_inputs, load_model
from dmoe_gym.models.digits.model import best_experts, every_expert, infer

SEEDS = range(6)
ZERO = ConstantPolicy(np.zeros(54, np.float32), "gate_scores", 3)


def play_schedules(env: gym.Env, seed: int, choose) -> dict[str, float]:
    """One episode in which `choose` gives each layer's schedule; the last info."""
    env.reset(seed=seed)
    terminated, info = False, {}
    while not terminated:
        _, _, terminated, _, info = env.step(env.encode(choose(env.round)))
    return info


def everyone(round) -> Schedule:
    """Every expert hears every hidden state, each link on a subcarrier of its own."""
    experts = round.config.num_experts
    subcarrier = np.full((experts, experts), -1)
    subcarrier[~np.eye(experts, dtype=bool)] = np.arange(experts * (experts - 1))
    return Schedule.from_subcarriers(np.ones(round.gate_scores.shape, bool), subcarrier, round.config.num_subcarriers)


@pytest.mark.parametrize("inputs", ["validation", "test"])
def test_the_environments_accuracy_is_the_networks_where_every_expert_is_heard(inputs):
    env = make(INFERENCE_JOINT, max_experts=6, relevance={"kind": "classifier", "inputs": inputs})
    data = load_inputs(inputs)
    for seed in SEEDS:
        info = play_schedules(env, seed, everyone)
        drawn = env.core.relevance
        patches = data.patches[drawn.domains[0], drawn.images[0]]
        class_scores, _ = infer(load_model(), patches, every_expert)
        expected = class_scores.argmax(-1) == data.labels[drawn.images[0]]
        assert info["correct"] == expected.mean()
        assert info["relevance"] == pytest.approx(1, abs=1e-5)


def test_top_2_in_the_environment_is_top_2_in_the_network():
    """Gate scores of every layer and the answers: each layer builds on what was chosen before."""
    env = make(INFERENCE_JOINT)
    for seed in SEEDS:
        observation, _ = env.reset(seed=seed)
        drawn = env.core.relevance
        data = load_inputs("test")
        patches = data.patches[drawn.domains[0], drawn.images[0]]
        class_scores, gate_scores = infer(load_model(), patches, best_experts(2))
        for layer in range(6):
            np.testing.assert_array_equal(observation["gate_scores"], gate_scores[layer])
            schedule = everyone(env.round)
            selected = best_experts(2)(layer + 1, observation["gate_scores"])
            action = env.encode(Schedule(selected, schedule.allocated))
            observation, _, terminated, _, info = env.step(action)
        assert terminated
        assert info["correct"] == (class_scores.argmax(-1) == data.labels[drawn.images[0]]).mean()


def test_choices_change_later_gate_scores_and_channels_do_not_change():
    env = make(INFERENCE_JOINT, max_experts=6)
    seen = []
    for choose in (everyone, lambda round: solve_jesa(round)):
        env.reset(seed=3)
        first = env.round
        env.step(env.encode(choose(first)))
        seen.append((first, env.round))
    np.testing.assert_array_equal(seen[0][0].gate_scores, seen[1][0].gate_scores)
    np.testing.assert_array_equal(seen[0][1].gains, seen[1][1].gains)
    assert not np.array_equal(seen[0][1].gate_scores, seen[1][1].gate_scores)


def test_action_0_is_jesa_bit_for_bit():
    for scenario in ("digits", "digits-scarce", "digits-stale"):
        jesa = evaluate(
            JointPolicy(JESA(inference_scenario(scenario))), INFERENCE_JOINT, scenario=scenario, seeds=SEEDS
        )
        zero = evaluate(ZERO, INFERENCE, scenario=scenario, seeds=SEEDS)
        for one, other in zip(jesa, zero, strict=True):
            for name in ("cost", "accuracy", "energy_per_answer_mJ", "relevance", "outages"):
                assert one[name] == other[name], (scenario, name)


def test_rewards_and_energies_are_what_the_physics_say():
    env = make(INFERENCE)
    env.reset(seed=1)
    for layer in range(1, 7):
        decided = env.round
        _, reward, terminated, _, info = env.step(np.zeros(54, np.float32))
        spent = energy(decided, env.schedule)
        assert info["energy_communication_J"] == pytest.approx(spent.communication, rel=1e-6)
        assert info["energy_computation_J"] == pytest.approx(spent.computation, rel=1e-6)
        price = env.config.wrong_answer_price * (1 - info["correct"]) if terminated else 0
        assert -reward == pytest.approx(spent.total / env.config.reference_energy_j + price, rel=1e-6)
        assert terminated == (layer == 6)
        if not terminated:
            assert info["correct"] == 0


def test_a_higher_factor_buys_relevance_of_its_hidden_state_alone():
    relevances = []
    for factor in (-1.0, 0.0, 1.0):
        env = make(INFERENCE)
        env.reset(seed=2)
        action = np.zeros(54, np.float32)
        action[30 + 5] = factor  # node 1, hidden state 1
        scores = env.round.gate_scores
        env.step(action)
        relevances.append((env.schedule.selected * scores).sum(-1))
    own = [relevance[1, 1] for relevance in relevances]
    assert own[0] <= own[1] <= own[2]
    assert own[0] < own[2]
    others = np.ones((6, 4), bool)
    others[1, 1] = False
    for relevance in relevances[1:]:
        np.testing.assert_array_equal(relevance[others], relevances[0][others])


def test_lost_links_are_not_heard():
    """A slot too short for any transmission leaves every hidden state to its own node's expert."""
    env = make(INFERENCE_JOINT, slot_duration_s=1e-6, max_experts=6)
    info = play_schedules(env, 4, everyone)
    assert info["outages"] == 30
    np.testing.assert_array_equal(env.core.served[0], np.eye(6, dtype=bool)[:, None].repeat(4, 1))
    drawn, data = env.core.relevance, load_inputs("test")
    patches = data.patches[drawn.domains[0], drawn.images[0]]
    own = np.eye(6, dtype=bool)[:, None].repeat(4, 1)
    class_scores, _ = infer(load_model(), patches, lambda layer, scores: own)
    assert info["correct"] == (class_scores.argmax(-1) == data.labels[drawn.images[0]]).mean()


@pytest.mark.parametrize("env_id", [INFERENCE, INFERENCE_JOINT])
def test_batch_size_changes_no_bit(env_id):
    policy = line_up_of(INFERENCE).policies["JESA"] if env_id == INFERENCE_JOINT else ZERO
    results = [evaluate(policy, env_id, seeds=range(40), batch=batch) for batch in (1, 7, 40)]
    for rows in results[1:]:
        for one, other in zip(results[0], rows, strict=True):
            assert_equal(
                {name: value for name, value in one.items() if name != "predict_ms"},
                {name: value for name, value in other.items() if name != "predict_ms"},
            )


def test_parts_of_the_data_are_drawn_as_named():
    for inputs in ("train", "validation", "test"):
        env = make(INFERENCE, relevance={"kind": "classifier", "inputs": inputs})
        env.reset(seed=0)
        assert env.core.relevance.inputs is load_inputs(inputs)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("num_experts", 4, "num_experts = 4: valid with this model is 6"),
        ("num_states", 2, "num_states = 2: valid with this model is 4"),
        ("num_layers", 8, "num_layers = 8: valid with this model is 6"),
        ("battery_j", 1.0, "battery_j = 1.0: valid with a model in the loop is None"),
        ("relevance", {"kind": "dirichlet"}, "kind is 'classifier'"),
        ("relevance", {"inputs": "tset"}, "inputs"),
        ("wrong_answer_price", -1.0, "wrong_answer_price"),
    ],
)
def test_what_does_not_fit_the_classifier_is_refused(field, value, said):
    with pytest.raises(ValueError, match=said):
        InferenceConfig(**{field: value})
    with pytest.raises(ValueError, match="valid are digits, digits-scarce, digits-stale"):
        make(INFERENCE, scenario="small")


def test_the_line_up_runs_and_the_bound_is_below_everyone():
    rows = evaluate_line_up(INFERENCE, seeds=SEEDS)
    line_up = line_up_of(INFERENCE)
    assert {row["policy"] for row in rows} == {*line_up.policies, "lower-bound"}
    bounds = {row["seed"]: row["cost"] for row in evaluate_bound("lower-bound", INFERENCE, seeds=SEEDS)}
    for row in rows:
        assert row["cost"] >= bounds[row["seed"]] - 1e-9
        if row["policy"] != "lower-bound":
            assert row["violations"] == 0
            assert 0 <= row["accuracy"] <= 1

"""WDMoE-Inference: the answers are the model's own, the latency is WDMoE's, and who is asked shapes what follows."""

from __future__ import annotations

import numpy as np
import pytest
from dmoe_builders import make

from dmoe_gym.evaluation import evaluate_line_up, line_up_of
from dmoe_gym.models.digits import load_inputs, load_model
from dmoe_gym.models.digits.model import best_experts
from dmoe_gym.models.digits.model import infer as infer_images
from dmoe_gym.models.language.accuracy import best, infer
from dmoe_gym.models.language.source import LanguageSource
from dmoe_gym.registration import system_of
from dmoe_gym.wdmoe import latency

WDMOE_INFERENCE = "WDMoE-Inference-v0"
SEEDS = range(4)


def play(env, seed, action=None):
    """One episode of one action, nothing by default; the last info."""
    observation, _ = env.reset(seed=seed)
    action = np.zeros(env.action_space.shape, np.float32) if action is None else action
    terminated, seen = False, []
    while not terminated:
        seen.append(observation["gate_weights"].copy())
        observation, _, terminated, _, info = env.step(action)
    return info, seen


def test_the_gates_choice_is_the_classifiers_own_top_2():
    """Action 0 asks the two best devices of every token, so every answer is that of the network by itself."""
    env = make(WDMOE_INFERENCE, scenario="digits", relevance_share=1.0)
    for seed in SEEDS:
        info, seen = play(env, seed)
        drawn, data = env.core.relevance, load_inputs("test")
        patches = data.patches[drawn.domains[0], drawn.images[0]]
        class_scores, gate_scores = infer_images(load_model(), patches, best_experts(2))
        np.testing.assert_array_equal(seen, np.reshape(gate_scores, (6, 16, 6)))
        assert info["correct"] == (class_scores.argmax(-1) == data.labels[drawn.images[0]]).mean()
        assert info["shortfall"] == 0


@pytest.mark.parametrize("states", [5, 16])
def test_the_gates_choice_is_the_language_models_own_top_2(states):
    env = make(WDMOE_INFERENCE, query_states=states, num_tokens=3 * states, relevance_share=1.0)
    info, seen = play(env, 2)
    queries, model = env.core.relevance.asked, LanguageSource().layered()
    logits, scores = infer(model, queries.tokens[:, :-1], best(2))
    for layer in range(6):
        np.testing.assert_allclose(seen[layer], scores[layer][:, -states:].reshape(3 * states, 8), atol=1e-5)
    right = ((logits.argmax(-1).numpy() == queries.tokens[:, 1:]) | ~queries.answered[:, 1:]).all(-1)
    assert info["correct"] == right.mean()


def test_blocks_cost_their_latency_and_the_last_one_the_wrong_answers():
    env = make(WDMOE_INFERENCE, scenario="digits", wrong_answer_price=7.0)
    env.reset(seed=1)
    env.action_space.seed(1)
    wrong = 0.0
    for layer in range(1, 7):
        decided = env.round
        _, reward, terminated, _, info = env.step(env.action_space.sample())
        seconds = latency(decided, env.schedule).total
        assert info["latency_s"] == pytest.approx(seconds, rel=1e-9)
        wrong = 1 - info["correct"] if terminated else 0.0
        assert -reward == pytest.approx(seconds / env.core.constants.reference + 7.0 * wrong, rel=1e-9)
        assert terminated == (layer == 6)
    assert not env.core.check(decided, env.schedule)


def test_who_is_asked_shapes_later_gate_weights_and_no_channel():
    env = make(WDMOE_INFERENCE, scenario="digits", relevance_share=0.3)
    discounts = np.concatenate([np.zeros(6), np.linspace(0, 1, 6)]).astype(np.float32)
    rounds = []
    for action in (np.zeros(12, np.float32), discounts):
        env.reset(seed=5)
        first = env.round
        env.step(action)
        rounds.append((first, env.round))
    (one, one_later), (other, other_later) = rounds
    np.testing.assert_array_equal(one.gate_weights, other.gate_weights)
    np.testing.assert_array_equal(one_later.downlink_gains, other_later.downlink_gains)
    assert not np.array_equal(one_later.gate_weights, other_later.gate_weights)


def test_the_line_up_runs_and_the_bound_is_below_everyone():
    rows = evaluate_line_up(WDMOE_INFERENCE, scenario="digits", seeds=SEEDS)
    policies = line_up_of(WDMOE_INFERENCE, "digits").policies
    assert {row["policy"] for row in rows} == {*policies, "lower-bound"}
    bound = {row["seed"]: row["cost"] for row in rows if row["policy"] == "lower-bound"}
    for row in rows:
        assert row["cost"] >= bound[row["seed"]]
        if row["policy"] != "lower-bound":
            assert row["violations"] == 0
            assert 0 <= row["accuracy"] <= 1


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("num_tokens", 17, "num_tokens = 17: valid are multiples of query_states = 16"),
        ("query_states", 32, "query_states = 32: valid with this model is 1 to 16"),
        ("num_devices", 4, "num_devices = 4: valid with this model is 8"),
        ("num_blocks", 8, "num_blocks = 8: valid with this model is 6"),
        ("relevance", {"kind": "dirichlet"}, "kind is 'language'"),
        ("wrong_answer_price", -1.0, "wrong_answer_price"),
        ("prompts", "x.jsonl", "prompts = 'x.jsonl': valid with model = 'language' is None"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(field, value, said):
    with pytest.raises(ValueError, match=said):
        system_of(WDMOE_INFERENCE).configuration(None, {field: value})

"""The learned importance: what its action says is what it chose, and evolution finds what pays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from dmoe_builders import INFERENCE, make

from agents.importance.evolution import EvolutionConfig, evolve, play
from agents.importance.policy import FEATURES, ImportancePolicy, start
from agents.importance.report import chosen
from dmoe_gym.dmoe.inference import inference_scenario
from dmoe_gym.evaluation.run import make_core

CONFIG = inference_scenario("digits")


def with_importance(factor: float) -> np.ndarray:
    table = np.zeros((6, FEATURES + 1))
    table[:, 0] = np.log(factor)
    return table.ravel()


def relevance_of(policy: ImportancePolicy) -> float:
    env = make(INFERENCE)
    observation, _ = env.reset(seed=3)
    total, terminated = 0.0, False
    while not terminated:
        action, _ = policy.predict(observation)
        assert env.action_space.contains(action)
        observation, _, terminated, _, info = env.step(action)
        total += info["relevance"]
    return total / 6


def test_more_importance_buys_more_relevance():
    found = [relevance_of(ImportancePolicy(CONFIG, with_importance(factor))) for factor in (0.1, 3.0, 100.0)]
    assert found[0] < found[1] < found[2]
    # with no end of importance every hidden state gets its D best experts
    assert found[2] > 0.75


def test_rows_of_a_batch_follow_their_own_parameters():
    core = make_core(INFERENCE, 4, "digits", {})
    core.seed(core.all_rows, [(5, 0)] * 4)
    core.start(core.all_rows)
    both = np.stack([with_importance(0.5), with_importance(5.0)])
    actions = ImportancePolicy(CONFIG, np.repeat(both, 2, axis=0)).actions(core.observations)
    np.testing.assert_array_equal(actions[0], actions[1])
    np.testing.assert_array_equal(actions[2], actions[3])
    alone = ImportancePolicy(CONFIG, both[1]).actions(core.observations)
    np.testing.assert_array_equal(actions[2], alone[0])
    assert actions[2].sum() > actions[0].sum()


def test_candidates_are_compared_on_the_same_episodes():
    core = make_core(INFERENCE, 6, "digits", {})
    energy, doubt = play(core, np.stack([start(6), start(6)]), range(3))
    assert energy[0] == energy[1]
    assert doubt[0] == doubt[1]
    assert 0 < doubt[0] < 1


def test_evolution_repeats_itself_and_lowers_energy_where_answers_are_free():
    config = EvolutionConfig(generations=6, pairs=4, episodes=4, wrong_answer_price=1e-6, spread=0.3, learning_rate=0.3)
    curve = []
    first = evolve(config, 0, curve.append)
    np.testing.assert_array_equal(first, evolve(config, 0))
    assert not np.array_equal(first, evolve(config, 1))
    core = make_core(INFERENCE, 16, "digits", {})
    energy, _ = play(core, np.stack([start(6), first]), range(900_000, 900_008))
    assert energy[1] < energy[0]
    assert len(curve) == 6


def test_scales_are_chosen_on_validation_inputs_alone():
    def row(scale, energy, accuracy, inputs):
        name = f"a scale={scale}"
        return {
            "policy": name, "run": "a", "family": "learned", "inputs": inputs, "seed": 0,
            "energy_per_answer_mJ": energy, "accuracy": accuracy,
        }  # fmt: skip

    rows = [row(1, 5.0, 0.8, "validation"), row(2, 6.0, 0.9, "validation")]
    rows += [row(1, 5.0, 0.99, "test"), row(2, 6.0, 0.1, "test")]
    assert chosen(rows, 0.85) == ["a scale=2"]
    assert chosen(rows, 0.95) == []


def test_the_recipe_is_a_valid_configuration():
    recipe = Path(__file__).parents[2] / "configs" / "importance_inference.yaml"
    config = EvolutionConfig(**yaml.safe_load(recipe.read_text()))
    assert config.inputs == "train"
    with pytest.raises(ValueError, match="unknown field 'generation'"):
        EvolutionConfig(generation=3)

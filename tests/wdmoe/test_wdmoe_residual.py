"""WDMoE-Residual-v0: action 0, what entries do, and the features."""

from __future__ import annotations

import numpy as np
import pytest

from dmoe_gym.facades.view import View
from dmoe_gym.registration import create_core
from dmoe_gym.wdmoe.inference import INFERENCE_SCENARIOS
from dmoe_gym.wdmoe.policies import JointPolicy, Priced
from dmoe_gym.wdmoe.scenarios import SCENARIOS

RESIDUAL, JOINT, SERVED = "WDMoE-Residual-v0", "WDMoE-Joint-v0", "WDMoE-Inference-Residual-v0"


def started(env_id: str, scenario: str, size: int = 3, **overrides):
    core = create_core(env_id, size, scenario, overrides)
    core.seed(core.all_rows, [(5, row) for row in range(size)])
    core.start(core.all_rows)
    return core


@pytest.mark.parametrize(
    ("residual_id", "joint_id", "scenario", "overrides"),
    [(RESIDUAL, JOINT, scenario, {"num_blocks": 3}) for scenario in SCENARIOS]
    + [(SERVED, "WDMoE-Inference-Joint-v0", scenario, {}) for scenario in INFERENCE_SCENARIOS],
)
def test_action_0_is_priced_optimal_bit_for_bit(residual_id, joint_id, scenario, overrides):
    residual, joint = (started(env_id, scenario, **overrides) for env_id in (residual_id, joint_id))
    policy = JointPolicy(Priced(joint.config))
    zero = np.zeros((3, *residual.action_space.shape), np.float32)
    while not joint.terminated.all():
        joint.step(policy.actions(View(joint).batch()), joint.all_rows)
        residual.step(zero, residual.all_rows)
        for field in ("rewards", "term_values", "selected", "bandwidth"):
            np.testing.assert_array_equal(getattr(residual, field), getattr(joint, field), err_msg=field)


def test_a_saving_is_what_a_block_costs_less_than_under_action_0():
    saving, own, zero = (started(RESIDUAL, "testbed", 8, residual_reward=kind) for kind in ("saving", "cost", "cost"))
    choices = np.random.default_rng(1)
    for _ in range(3):
        actions = choices.uniform(-1, 1, (8, *own.action_space.shape)).astype(np.float32)
        for core in (saving, own):
            core.step(actions, core.all_rows)
        zero.step(np.zeros_like(actions), zero.all_rows)
        np.testing.assert_array_equal(saving.rewards, own.rewards - zero.rewards)
        np.testing.assert_array_equal(saving.term_values, own.term_values)
        assert (saving.rewards != 0).any()


def test_with_a_model_savings_are_of_latency_and_wrong_answers_are_charged_in_the_last_block():
    """Under action 0 nothing is saved; under others, while both worlds are the same, the latency's difference."""
    saving, own, zero = (started(SERVED, "digits", 4, residual_reward=kind) for kind in ("saving", "cost", "cost"))
    actions = np.random.default_rng(1).uniform(-1, 1, (4, *own.action_space.shape)).astype(np.float32)
    for core in (saving, own):
        core.step(actions, core.all_rows)
    zero.step(np.zeros_like(actions), zero.all_rows)
    np.testing.assert_allclose(saving.rewards, own.rewards - zero.rewards, atol=1e-12)
    assert (saving.rewards != 0).any()
    untouched = started(SERVED, "digits", 4, residual_reward="saving")
    while not untouched.terminated.all():
        untouched.step(np.zeros_like(actions), untouched.all_rows)
        wrong = np.where(untouched.terminated, 1 - untouched.terms["correct"], 0)
        np.testing.assert_allclose(untouched.rewards, -untouched.config.wrong_answer_price * wrong, atol=1e-9)
    assert wrong.any()


def test_a_slower_device_gets_fewer_tokens_and_a_bandwidth_entry_its_factor():
    tokens = {}
    for value in (-1.0, 0.0, 1.0):
        core = started(RESIDUAL, "testbed", 32)
        actions = np.zeros((32, 8), np.float32)
        actions[:, 1] = value
        core.step(actions, core.all_rows)
        tokens[value] = core.selected[:, :, 1].sum()
    assert tokens[-1.0] > tokens[0.0] > tokens[1.0]
    plain, wider = (started(RESIDUAL, "testbed", 8) for _ in range(2))
    actions = np.zeros((8, 8), np.float32)
    plain.step(actions, plain.all_rows)
    actions[:, 4] = 1.0
    wider.step(actions, wider.all_rows)
    used = (plain.bandwidth[:, [0, 1]] > 0).all(1)
    assert used.any()
    ratio = (wider.bandwidth[used, 0] / wider.bandwidth[used, 1]) / (
        plain.bandwidth[used, 0] / plain.bandwidth[used, 1]
    )
    np.testing.assert_allclose(ratio, 1.2, rtol=1e-4)


def test_some_environments_alone_step_as_in_the_batch_and_features_follow_the_observation():
    whole, part = (started(RESIDUAL, "testbed") for _ in range(2))
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (3, 8)).astype(np.float32)
    whole.step(actions, whole.all_rows)
    part.step(actions, np.array([1]))
    np.testing.assert_array_equal(whole.features[1], part.features[1])
    names = whole.feature_names
    assert len(names) == whole.features.shape[1]
    weights = whole.gate_weights.astype(float)
    np.testing.assert_allclose(whole.features[:, names.index("demand[2]")], 4 * weights.mean(1)[:, 2] - 1, rtol=1e-5)
    share = (weights.argmax(2) == 2).mean(1)
    np.testing.assert_allclose(whole.features[:, names.index("best[2]")], 4 * share - 1, rtol=1e-5)

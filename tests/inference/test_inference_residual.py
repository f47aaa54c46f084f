"""DMoE-Inference-Residual-v0: action 0, what entries stand for, and the features."""

from __future__ import annotations

import numpy as np
import pytest

from dmoe_gym.dmoe.inference import INFERENCE_SCENARIOS
from dmoe_gym.registration import create_core

RESIDUAL, PRICED = "DMoE-Inference-Residual-v0", "DMoE-Inference-v0"


def started(env_id: str, scenario: str, size: int = 3):
    core = create_core(env_id, size, scenario, {})
    core.seed(core.all_rows, [(5, row) for row in range(size)])
    core.start(core.all_rows)
    return core


@pytest.mark.parametrize("scenario", INFERENCE_SCENARIOS)
def test_action_0_is_jesa_bit_for_bit(scenario):
    residual, priced = (started(env_id, scenario) for env_id in (RESIDUAL, PRICED))
    while not priced.terminated.all():
        for core in (residual, priced):
            core.step(np.zeros((3, *core.action_space.shape), np.float32), core.all_rows)
        for field in ("rewards", "term_values", "selected", "subcarrier"):
            np.testing.assert_array_equal(getattr(residual, field), getattr(priced, field), err_msg=field)


def test_entries_stand_for_those_of_links_and_hidden_states():
    """Written out entry by entry, in the order that DMoE-Inference-v0 states."""
    residual, priced = (started(env_id, "digits", 4) for env_id in (RESIDUAL, PRICED))
    nodes, states = residual.config.num_experts, residual.config.num_states
    actions = np.random.default_rng(0).uniform(-1, 1, (4, 2 * nodes + 1)).astype(np.float32)
    price, relevance, own = actions[:, :nodes], actions[:, nodes], actions[:, nodes + 1 :]
    written = [[price[row, j] for i in range(nodes) for j in range(nodes) if i != j] for row in range(4)]
    for row in range(4):
        written[row] += [min(max(relevance[row] + own[row, i], -1), 1) for i in range(nodes) for _ in range(states)]
    for _ in range(3):
        residual.step(actions, residual.all_rows)
        priced.step(np.array(written, np.float32), priced.all_rows)
        np.testing.assert_array_equal(residual.selected, priced.selected)
        np.testing.assert_array_equal(residual.rewards, priced.rewards)


def test_features_are_of_the_present_observation():
    core = started(RESIDUAL, "digits-scarce", 4)
    core.step(np.zeros((4, *core.action_space.shape), np.float32), core.all_rows)
    seen = {name: values.astype(np.float64) for name, values in core.inputs.items()}
    nodes = core.config.num_experts
    told = {name: core.features[:, column] for column, name in enumerate(core.feature_names)}
    assert len(told) == core.features.shape[1]
    ordered = np.sort(seen["gate_scores"], axis=3)
    link = 1 / np.log2(1 + core.config.mean_snr)
    for node in range(nodes):
        scores = seen["gate_scores"][..., node]
        others = [other for other in range(nodes) if other != node]
        best = seen["spectral_efficiency"].max(3)
        expected = {
            "demand": nodes * scores.mean((1, 2)) - 1,
            "own_demand": nodes * scores[:, node].mean(1) - 1,
            "first": ordered[:, node, :, -1].mean(1),
            "second": ordered[:, node, :, -2].mean(1),
            "sending": np.log((1 / best[:, node, others]).mean(1) / link),
            "receiving": np.log((1 / best[:, others, node]).mean(1) / link),
        }
        for name, values in expected.items():
            np.testing.assert_allclose(told[f"{name}[{node}]"], values, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(told["progress"], 2 / core.config.num_layers, rtol=1e-6)
    assert not told["first_layer"].any()
    assert not told["last_layer"].any()


def test_the_first_and_the_last_layer_are_told():
    core = started(RESIDUAL, "digits", 2)
    flags = [core.features[:, -2:].copy()]
    while not core.terminated.all():
        core.step(np.zeros((2, *core.action_space.shape), np.float32), core.all_rows)
        if not core.terminated.all():
            flags.append(core.features[:, -2:].copy())
    np.testing.assert_array_equal([flag[0] for flag in flags], [[1, 0], *[[0, 0]] * 4, [0, 1]])

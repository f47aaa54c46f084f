"""The trace of the project's own classifier: what its gates give, and the file that comes with the package."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

import dmoe_gym
import dmoe_gym.relevance
from dmoe_gym.models.digits import DOMAINS, load_inputs, load_model
from dmoe_gym.recorders import own
from dmoe_gym.recorders.own import record_digits
from dmoe_gym.relevance import load_trace, read_trace

SHIPPED = Path(dmoe_gym.relevance.__file__).parent / "data" / "digits.npz"


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def rooted(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return values / np.sqrt((values.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-6) * scale


def test_tokens_are_patches_of_images_in_the_order_of_the_domains():
    trace, model, inputs = record_digits("validation", images=3), load_model(), load_inputs("validation")
    config = model.config
    states = config.states
    assert trace.gate_scores.shape == (config.layers, 6 * 3 * states, config.experts)
    assert trace.tokens_per_input == states
    assert trace.domain_names == tuple(DOMAINS)
    np.testing.assert_array_equal(trace.domain_tokens, 6 * [3 * states])
    # layer 1 again, in NumPy: domain 4, image 2
    weights = model.weights
    hidden = inputs.patches[4, 2] @ weights.embedding + weights.position
    seen = rooted(hidden, weights.attention_scale[0])
    query, key, value = (seen @ getattr(weights, name)[0] for name in ("query", "key", "value"))
    hidden = hidden + softmax(query @ key.T / np.sqrt(config.width)) @ value
    expected = softmax(rooted(hidden, weights.expert_scale[0]) @ weights.gate[0])
    first = (4 * 3 + 2) * states
    np.testing.assert_allclose(trace.gate_scores[0, first : first + states], expected, atol=1e-5)


def test_later_layers_are_those_of_a_model_that_hears_few_experts():
    few, all_of_them = record_digits(images=2, experts=1), record_digits(images=2, experts=6)
    np.testing.assert_array_equal(few.gate_scores[0], all_of_them.gate_scores[0])
    assert np.abs(few.gate_scores[1:] - all_of_them.gate_scores[1:]).max() > 1e-3


def test_the_shipped_trace_is_what_its_command_gives():
    shipped, model = load_trace("digits"), load_model()
    assert shipped.header.recorded["command"].startswith("python -m experiments record-digits")
    recorded = record_digits()
    assert shipped.model == recorded.model
    assert shipped.gate_scores.shape[0] == model.config.layers
    # other processors may round otherwise
    np.testing.assert_allclose(shipped.gate_scores, recorded.gate_scores, atol=1e-4)


def test_the_shipped_trace_is_small():
    assert SHIPPED.stat().st_size < 300_000


@pytest.mark.parametrize(("name", "given"), [("images", 0), ("images", 361), ("experts", 0), ("experts", 7)])
def test_more_than_there_is_is_refused(name, given):
    with pytest.raises(ValueError, match=f"{name} = {given}: valid are"):
        record_digits(**{name: given})


def test_the_command_writes_a_file_and_replaces_none(tmp_path):
    app = Typer()
    app.command()(own.record_digits_command)
    out = tmp_path / "own.npz"
    arguments = ["--out", str(out), "--images", "2", "--part", "validation"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    header = read_trace(out).header
    assert "--images 2" in header.recorded["command"]
    assert json.loads(header.model_dump_json())["tokens_per_input"] == 4
    before = out.read_bytes()
    assert CliRunner().invoke(app, arguments).exit_code == 2
    assert out.read_bytes() == before
    assert CliRunner().invoke(app, [*arguments, "--overwrite"]).exit_code == 0
    assert out.read_bytes() == before


def test_the_scenario_of_recorded_scores_plays():
    env = gym.make("DMoE-JESA-v0", scenario="recorded")
    observation, _ = env.reset(seed=1)
    trace = load_trace("digits")
    known = {scores.tobytes() for scores in trace.gate_scores[0]}
    assert {scores.tobytes() for scores in observation["gate_scores"].reshape(-1, 6)} <= known

"""Recorded gate scores of the language model: the shipped trace is its command's, and it plays."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import dmoe_gym.relevance
from dmoe_gym.models.language.families import FAMILIES
from dmoe_gym.recorders.own import record_language
from dmoe_gym.relevance import load_trace

SHIPPED = Path(dmoe_gym.relevance.__file__).parent / "data" / "language.npz"


def test_the_shipped_trace_is_what_its_command_gives():
    shipped, recorded = load_trace("language"), record_language()
    assert shipped.header.recorded["command"] == recorded.recorded["command"]
    assert shipped.model == recorded.model
    assert shipped.domain_names == tuple(FAMILIES)
    assert shipped.tokens_per_input == 16
    # other processors may round otherwise
    np.testing.assert_allclose(shipped.gate_scores, recorded.gate_scores, atol=1e-4)
    assert SHIPPED.stat().st_size < 300_000


@pytest.mark.parametrize(("name", "given"), [("queries", 0), ("experts", 0), ("experts", 9)])
def test_more_than_there_is_is_refused(name, given):
    with pytest.raises(ValueError, match=f"{name} = {given}: valid are"):
        record_language(**{name: given})


def test_a_scenario_plays_it():
    env = gym.make("DMoE-JESA-v0", relevance="trace:language", num_experts=8, num_layers=6, num_states=16)
    observation, _ = env.reset(seed=0)
    trace = load_trace("language")
    first = env.unwrapped.core.relevance.first[0]
    for node in range(8):
        expected = trace.gate_scores[0, first[node] : first[node] + 16]
        np.testing.assert_array_equal(observation["gate_scores"][node], expected)

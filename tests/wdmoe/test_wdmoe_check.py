"""The check names every violation that was planted, and only those."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoe_gym.wdmoe import Allocation, Block, check, draw_block, scenario, top_k
from tests.wdmoe.blocks import TINY


def valid_allocation(block):
    """The gate's choice, the band shared equally."""
    devices = block.config.num_devices
    return Allocation(top_k(block), np.full(devices, block.config.bandwidth_hz / devices))


@pytest.fixture
def block() -> Block:
    weights = np.array([[0.5, 0.4, 0.1]] * 3 + [[0.1, 0.4, 0.5]])
    return Block(weights, np.full(3, 1e-9), np.full(3, 1e-9), TINY.replace(relevance_share=0.9))


@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(["testbed", "mixtral", "crowd"]))
def test_the_gates_choice_with_equal_bandwidth_is_valid(seed, name):
    drawn = draw_block(scenario(name), np.random.default_rng(seed))
    assert check(drawn, valid_allocation(drawn)) == []


def test_too_many_and_too_few_experts(block):
    selected = valid_allocation(block).selected.copy()
    selected[1] = True
    selected[3] = [False, True, True]
    assert check(block, Allocation(selected, np.full(3, 3e7))) == ["token 1 is served by 3 experts, valid are 1 to 2"]
    selected[1] = [True, True, False]
    selected[2] = False
    first, second = check(block, Allocation(selected, np.full(3, 3e7)))
    assert first == "token 2 is served by 0 experts, valid are 1 to 2"
    assert "relevance" in second


def test_too_much_bandwidth(block):
    allocation = valid_allocation(block)
    assert check(block, Allocation(allocation.selected, allocation.bandwidth * (1 + 1e-12))) == []
    (violation,) = check(block, Allocation(allocation.selected, allocation.bandwidth * 1.01))
    assert violation.startswith("the devices use 101000000")
    assert violation.endswith("valid is at most 100000000.0 Hz")


def test_tokens_without_bandwidth(block):
    violations = check(block, Allocation(valid_allocation(block).selected, [1e6, 0.0, 1e6]))
    assert violations == ["device 1 serves 4 tokens without bandwidth"]


def test_relevance_under_the_budget(block):
    # the best two experts reach 0.9, the budget is 0.81; one token without its second expert leaves a mean of 0.8
    selected = valid_allocation(block).selected.copy()
    selected[0, 1] = False
    (violation,) = check(block, Allocation(selected, np.full(3, 3e7)))
    assert re.fullmatch(r"mean relevance 0\.(8|79999)\d* is under the budget of 0\.81\d*", violation)
    relaxed = Block(block.gate_weights, [1e-9] * 3, [1e-9] * 3, TINY.replace(relevance_share=0.88))
    assert check(relaxed, Allocation(selected, np.full(3, 3e7))) == []


def test_all_violations_are_listed_together(block):
    selected = np.zeros((4, 3), bool)
    selected[0] = True
    assert len(check(block, Allocation(selected, [0.0, 2e8, 0.0]))) == 4 + 1 + 2 + 1


def test_another_size_is_an_error(block):
    with pytest.raises(ValueError, match="valid for this block"):
        check(block, Allocation(np.ones((4, 2)), np.ones(2)))

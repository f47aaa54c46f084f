"""Selection at prices: the price is a derivative, schedules are valid, more pricings never slower, no names matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoe_gym.wdmoe import (
    Block,
    check,
    draw_block,
    latency,
    scenario,
    solve_exact,
    solve_greedy,
    solve_priced,
    solve_priced_batch,
    top_k,
)
from dmoe_gym.wdmoe.solvers.bandwidth import needed_bandwidth
from dmoe_gym.wdmoe.solvers.priced import marginal_price, select_at_prices

SEEDS = st.integers(0, 2**32 - 1)
NAMES = st.sampled_from(["testbed", "mixtral"])


@given(SEEDS, st.floats(0.5, 30), st.floats(0, 0.9))
def test_the_price_is_the_derivative_of_the_bandwidth_needed(seed: int, load: float, share: float) -> None:
    links = 10 ** np.random.default_rng(seed).uniform(8, 13, 2)
    latency, payload = 5e-3, 65536.0
    computation = share * latency / load

    def need(tokens: float) -> float:
        return needed_bandwidth(latency / tokens, *links, computation, payload)

    price = marginal_price(latency, load, *links, computation, payload, 1e8)
    step = 1e-5 * load
    if not np.isfinite(need(load + step)):  # no bandwidth is enough
        assert price > 1
        return
    slope = (need(load + step) - need(load - step)) / (2 * step) / 1e8
    assert price == pytest.approx(min(slope, 10), rel=1e-2)


def test_prices_are_good_to_a_quarter_of_newtons_last_step() -> None:
    """That step is a percent, and the derivative's logarithm changes by less than a quarter of that of its argument."""
    generator = np.random.default_rng(0)
    latency, payload, errors = 5e-3, 65536.0, []
    for _ in range(1000):
        links, load = 10 ** generator.uniform(8, 13, 2), generator.uniform(0.5, 30)
        computation = generator.uniform(0, 0.9) * latency / load
        low, high = (
            needed_bandwidth(latency / (load * factor), *links, computation, payload) for factor in (1 - 1e-6, 1 + 1e-6)
        )
        if np.isfinite(high) and (slope := (high - low) / (2e-6 * load) / 1e8) < 10:
            errors.append(abs(marginal_price(latency, load, *links, computation, payload, 1e8) / slope - 1))
    assert len(errors) > 500
    assert max(errors) <= 0.0025


def test_at_prices_tokens_take_the_largest_weights_less_discounts() -> None:
    """Discounts are in proportion to e^(log price), the dearest device's is 4: whatever stood in the workspace."""
    generator = np.random.default_rng(5)
    select = getattr(select_at_prices, "py_func", select_at_prices)  # what it calls is compiled, it is not
    prices, weights = np.log([0.2, 0.1, 0.4]), generator.dirichlet(np.ones(3), 6)
    for scratch in (np.zeros(3), np.full(3, 1e8)):
        discounts, selected, tokens = scratch, np.zeros(weights.shape, np.bool_), np.empty(3)
        select(prices, weights, 1, 0.0, discounts, selected, tokens)
        np.testing.assert_allclose(discounts, [2, 1, 4])
        np.testing.assert_array_equal(selected, np.eye(3, dtype=bool)[(weights - [2, 1, 4]).argmax(1)])
        np.testing.assert_array_equal(tokens, selected.sum(0))
    # devices of one weight: all tokens go to the cheapest one
    select(prices, np.full((6, 3), 1 / 3), 2, 0.3, discounts, selected, tokens)
    assert tokens.tolist() == [0, 6, 0]


@given(SEEDS, NAMES)
def test_schedules_are_valid_and_more_pricings_never_slower(seed: int, name: str) -> None:
    block = draw_block(scenario(name), np.random.default_rng(seed))
    last = np.inf
    for pricings in (1, 2, 5):
        allocation = solve_priced(block, pricings=pricings)
        assert check(block, allocation) == []
        total = latency(block, allocation).total
        assert total <= last
        last = total


@given(SEEDS)
def test_devices_and_tokens_have_no_names(seed: int) -> None:
    generator = np.random.default_rng(seed)
    block = draw_block(scenario("mixtral"), generator)
    tokens, devices = (generator.permutation(size) for size in block.gate_weights.shape)
    moved = Block(
        block.gate_weights[tokens][:, devices],
        block.downlink_gains[devices],
        block.uplink_gains[devices],
        block.config,
        np.asarray(block.device_speeds)[devices],
    )
    one, other = solve_priced(block), solve_priced(moved)
    assert latency(moved, other).total == pytest.approx(latency(block, one).total, rel=1e-6)


def test_it_lies_between_the_optimum_and_greedy_selection_on_average() -> None:
    """Of 40 small blocks; a single one may be slower than the greedy rule's."""
    config = scenario("testbed").replace(num_tokens=8)
    blocks = [draw_block(config, np.random.default_rng(seed)) for seed in range(40)]
    exact, priced, greedy = (
        np.array([latency(block, solve(block)).total for block in blocks])
        for solve in (solve_exact, solve_priced, solve_greedy)
    )
    assert (priced >= exact * (1 - 1e-9)).all()
    assert priced.mean() < greedy.mean()


def test_without_a_budget_to_spend_the_gates_choice_stays() -> None:
    """At the largest relevance that a selection reaches nothing may be taken away."""
    block = draw_block(scenario("testbed"), np.random.default_rng(3))
    best = top_k(block)
    allocation = solve_priced(block, float((block.gate_weights * best).sum(1).mean()))
    np.testing.assert_array_equal(allocation.selected, best)


def test_a_batch_is_its_blocks_bit_for_bit() -> None:
    config = scenario("testbed")
    blocks = [draw_block(config, np.random.default_rng(seed)) for seed in range(30)]
    fields = ("gate_weights", "downlink_cn0", "uplink_cn0", "computation_time")
    weights, *links = (np.stack([getattr(block, name) for block in blocks]) for name in fields)
    budget = np.array([block.relevance_budget for block in blocks])
    selected, bandwidth, total = np.empty(weights.shape, bool), np.empty(links[0].shape), np.empty(len(blocks))
    solve_priced_batch(
        weights, *links, config.payload_bit, config.bandwidth_hz, config.max_experts, budget, 4,
        selected, bandwidth, total,
    )  # fmt: skip
    for row, block in enumerate(blocks):
        alone = solve_priced(block, pricings=4)
        np.testing.assert_array_equal(alone.selected, selected[row])
        np.testing.assert_array_equal(alone.bandwidth, bandwidth[row])
        assert latency(block, alone).total == pytest.approx(total[row], rel=1e-9)


def test_bad_requests_are_refused() -> None:
    block = draw_block(scenario("testbed"), np.random.default_rng(0))
    with pytest.raises(ValueError, match="pricings = 0: valid are whole numbers from 1"):
        solve_priced(block, pricings=0)
    with pytest.raises(ValueError, match="relevance = 2"):
        solve_priced(block, 2)

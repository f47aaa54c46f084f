"""Optimal bandwidth of WDMoE blocks: this project's batched kernel beside SciPy's SLSQP on the same blocks.

    NUMBA_NUM_THREADS=1 python -m pytest benchmarks/bench_wdmoe_bandwidth.py --benchmark-json=bandwidth.json

SLSQP runs twice: with care (logarithms, analytic gradients) and as one would write it first. `extra_info` holds the
least microseconds per block seen; the quotient of two rows of one scenario is the speed-up.
"""

from __future__ import annotations

import numpy as np
import pytest

from dmoe_gym.wdmoe import allocate_bandwidth, allocate_bandwidth_batch, draw_block, scenario, top_k
from tests.wdmoe.slsqp import solve_with_plain_slsqp, solve_with_slsqp

BLOCKS = 64
COPIES = 16  # the kernel's batch is 1,024 blocks


def problems(name):
    """Blocks of a scenario and the tokens per device of the gate's choice."""
    generator = np.random.default_rng(0)
    blocks = [draw_block(scenario(name), generator) for _ in range(BLOCKS)]
    return blocks, [top_k(block).sum(axis=0) for block in blocks]


@pytest.mark.parametrize("name", ["testbed", "mixtral", "crowd"])
def test_batched_kernel(benchmark, name):
    blocks, tokens = problems(name)
    config = blocks[0].config
    columns = [
        tokens,
        *([getattr(b, field) for b in blocks] for field in ("downlink_cn0", "uplink_cn0", "computation_time")),
    ]
    arrays = [np.tile(np.array(column, np.float64), (COPIES, 1)) for column in columns]
    bandwidth, latency = np.empty(arrays[0].shape), np.empty(len(arrays[0]))
    arguments = (*arrays, config.payload_bit, config.bandwidth_hz, bandwidth, latency)
    allocate_bandwidth_batch(*arguments)  # compile
    benchmark(allocate_bandwidth_batch, *arguments)
    benchmark.extra_info["us_per_block"] = benchmark.stats["min"] / (BLOCKS * COPIES) * 1e6
    for row, block in enumerate(blocks):
        assert (bandwidth[row] == allocate_bandwidth(block, tokens[row])).all()


@pytest.mark.parametrize("name", ["testbed", "mixtral", "crowd"])
@pytest.mark.parametrize("solve", [solve_with_slsqp, solve_with_plain_slsqp])
def test_slsqp(benchmark, solve, name):
    blocks, tokens = problems(name)
    blocks, tokens = blocks[:8], tokens[:8]
    answers = benchmark.pedantic(lambda: list(map(solve, blocks, tokens)), rounds=3, warmup_rounds=1)
    benchmark.extra_info["us_per_block"] = benchmark.stats["min"] / len(blocks) * 1e6
    benchmark.extra_info["converged"] = sum(success for _, success in answers)
    for block, count, (bandwidth, _) in zip(blocks, tokens, answers, strict=True):
        np.testing.assert_allclose(bandwidth, allocate_bandwidth(block, count), rtol=1e-2)

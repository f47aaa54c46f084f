"""Resident memory over many steps of one batch."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from benchmarks.environments import Stepper
from benchmarks.side_by_side import Row

NUM_ENVS = 1024
STATUS = Path("/proc/self/statm")
# Steps of all environments together; DMOE_BENCH_STEPS asks for more.
STEPS = int(float(os.environ.get("DMOE_BENCH_STEPS", "1e6")))


@pytest.mark.skipif(not STATUS.exists(), reason="resident memory is read from /proc")
def test_memory_does_not_grow(benchmark, report):
    stepper = Stepper("DMoE-JESA-v0", "small", NUM_ENVS)
    calls = -(-STEPS // (NUM_ENVS * stepper.steps))

    def resident_mb() -> float:
        gc.collect()
        return int(STATUS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    for _ in range(10):
        stepper()
    before = resident_mb()
    benchmark.pedantic(lambda: [stepper() for _ in range(calls)], rounds=1, iterations=1)
    growth = resident_mb() - before
    steps = calls * NUM_ENVS * stepper.steps
    report(
        Row(
            f"resident memory, {NUM_ENVS} environments, {steps:,} steps in all",
            "before them",
            growth,
            aim=5,
            at_least=False,
            unit="MB",
            details={"resident_MB": before},
        )
    )

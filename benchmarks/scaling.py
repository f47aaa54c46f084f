"""How time grows with the number of experts K, subcarriers M, hidden states N, and with the batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np

import dmoe_gym  # noqa: F401 - registers the environments
from benchmarks.rounds import draw_rounds, jesa_arrays
from dmoe_gym.dmoe import DMoEConfig, scenario
from dmoe_gym.dmoe.solvers.jesa import jesa_batch

# name -> (fields of every point, field that grows, its values); K >= 16 needs 240 subcarriers for all its links
SWEEPS: dict[str, tuple[dict[str, int], str, tuple[int, ...]]] = {
    "K": ({"num_states": 2, "num_subcarriers": 256}, "num_experts", (4, 6, 8, 12, 16)),
    "M": ({"num_experts": 8, "num_states": 4}, "num_subcarriers", (64, 128, 256, 512)),
    "N": ({"num_experts": 8, "num_subcarriers": 64}, "num_states", (1, 2, 4, 8, 16)),
    "batch": ({"num_experts": 4, "num_states": 1, "num_subcarriers": 16}, "", (1, 8, 64, 512, 4096)),
}
BATCH, REPEATS = 16, 15


def jesa_call(config: DMoEConfig, batch: int) -> Callable[[], object]:
    """One call of the batched JESA."""
    arguments, selected, subcarrier = jesa_arrays(draw_rounds(config, batch))
    return lambda: jesa_batch(batch, *arguments, selected, subcarrier)


def step_call(config: DMoEConfig, batch: int) -> Callable[[], object]:
    """One step of a vector environment whose episode does not end."""
    overrides = {name: getattr(config, name) for name in ("num_experts", "num_states", "num_subcarriers")}
    envs = gym.make_vec("DMoE-JESA-v0", batch, "vector_entry_point", scenario="small", num_layers=10_000, **overrides)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = envs.action_space.sample()
    return lambda: envs.step(actions)


CURVES: dict[str, Callable[[DMoEConfig, int], Callable[[], object]]] = {
    "solve_jesa": jesa_call,
    "DMoE-JESA-v0 step": step_call,
}


def least_seconds(call: Callable[[], object]) -> float:
    """The least processor time of one call (of all threads), among rounds of enough calls for clocks to be exact."""
    call()
    begun = time.process_time()
    call()
    calls = max(1, int(0.005 / (time.process_time() - begun + 1e-9)))
    times = []
    for _ in range(REPEATS):
        begun = time.process_time()
        for _ in range(calls):
            call()
        times.append((time.process_time() - begun) / calls)
    return min(times)


def slope(values: list[int], seconds: list[float]) -> float:
    """The exponent p of seconds = c * value^p, by least squares in logarithms."""
    return float(np.polyfit(np.log(values), np.log(seconds), 1)[0])


def measure() -> Iterator[dict[str, Any]]:
    """One record per curve and sweep: values, seconds (of a round, or of a call against the batch), slope."""
    for curve, make in CURVES.items():
        for name, (fixed, field, values) in SWEEPS.items():
            seconds = []
            for value in values:
                grown = {field: value} if field else {}
                batch = BATCH if field else value
                config = scenario("small").replace(**fixed, **grown)
                seconds.append(least_seconds(make(config, batch)) / (batch if field else 1))
            yield {
                "curve": curve,
                "against": name,
                "fixed": fixed,
                "batch": BATCH if field else None,
                "values": list(values),
                "seconds": seconds,
                "slope": slope(list(values), seconds),
            }

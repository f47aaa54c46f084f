"""Bounds of a block: they see the true channel, and are no policies."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from dmoe_gym.system import ExactBound
from dmoe_gym.wdmoe.config import SMALLEST_SHARE, WDMoEConfig
from dmoe_gym.wdmoe.physics.block import Allocation, Block, mean_relevance
from dmoe_gym.wdmoe.physics.cost import cost, reference_latency, shortfall
from dmoe_gym.wdmoe.physics.latency import latency
from dmoe_gym.wdmoe.solvers.bound import lower_bound
from dmoe_gym.wdmoe.solvers.exact import solve_exact


def allocation_terms(block: Block, allocation: Allocation) -> dict[str, float]:
    """The terms of an allocation, but for repairs."""
    parts = latency(block, allocation)
    return {
        "cost": cost(block, allocation),
        "latency_s": parts.total,
        "latency_downlink_s": parts.downlink,
        "latency_uplink_s": parts.uplink,
        "latency_computation_s": parts.computation,
        "latency_waiting_s": parts.waiting,
        "relevance": mean_relevance(block, allocation.selected),
        "shortfall": shortfall(block, allocation),
    }


def _exact(block: Block) -> dict[str, float]:
    return allocation_terms(block, solve_exact(block))


def _lower_bound(block: Block) -> dict[str, float]:
    # a bound on the latency has no allocation, so no parts and no relevance of its own
    least = lower_bound(block)
    return {"cost": least / reference_latency(block.config), "latency_s": least}


def _least_latency(block: Block) -> dict[str, float]:
    """Every token at one device, whatever the gate says, and every answer right: no scheduler is below, for in every
    block it does this at least."""
    anyone = np.full(block.gate_weights.shape, 1 / block.config.num_devices)
    config = block.config.replace(relevance_share=SMALLEST_SHARE)
    return _lower_bound(Block(anyone, block.downlink_gains, block.uplink_gains, config, block.device_speeds))


# Tokens times devices up to which the exact optimum takes under a second a block.
LARGEST_EXACT = 64


def _few(config: WDMoEConfig) -> bool:
    return config.num_tokens * config.num_devices <= LARGEST_EXACT


BOUNDS = MappingProxyType({"exact": ExactBound(_exact, affordable=_few), "lower-bound": ExactBound(_lower_bound)})
INFERENCE_BOUNDS = MappingProxyType({"lower-bound": ExactBound(_least_latency)})

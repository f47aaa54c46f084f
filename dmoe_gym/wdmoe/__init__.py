"""WDMoE: gate at a base station, experts on mobile devices; expert selection and bandwidth allocation for latency.

Source: Xue et al., arXiv 2405.03131 and 2411.06681, in this project's reading (docs/wdmoe.md).
"""

from __future__ import annotations

from dmoe_gym.wdmoe.config import WDMoEConfig
from dmoe_gym.wdmoe.physics.block import Allocation, Block, draw_block, mean_relevance
from dmoe_gym.wdmoe.physics.check import check
from dmoe_gym.wdmoe.physics.latency import (
    Latency,
    cost,
    latency,
    reference_latency,
    shortfall,
    token_times,
    weight_to_latency_ratio,
)
from dmoe_gym.wdmoe.scenarios import SCENARIOS, scenario
from dmoe_gym.wdmoe.solvers.bandwidth import allocate_bandwidth, allocate_bandwidth_batch
from dmoe_gym.wdmoe.solvers.exact import lower_bound, solve_exact
from dmoe_gym.wdmoe.solvers.greedy import solve_greedy, solve_greedy_batch, solve_joint
from dmoe_gym.wdmoe.solvers.priced import solve_priced, solve_priced_batch
from dmoe_gym.wdmoe.solvers.selection import select_experts, select_experts_batch, top_k

__all__ = [
    "SCENARIOS",
    "Allocation",
    "Block",
    "Latency",
    "WDMoEConfig",
    "allocate_bandwidth",
    "allocate_bandwidth_batch",
    "check",
    "cost",
    "draw_block",
    "latency",
    "lower_bound",
    "mean_relevance",
    "reference_latency",
    "scenario",
    "select_experts",
    "select_experts_batch",
    "shortfall",
    "solve_exact",
    "solve_greedy",
    "solve_greedy_batch",
    "solve_joint",
    "solve_priced",
    "solve_priced_batch",
    "token_times",
    "top_k",
    "weight_to_latency_ratio",
]

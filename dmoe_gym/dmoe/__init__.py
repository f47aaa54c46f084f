"""DMoE: experts on edge nodes, OFDMA subcarriers, energy (arXiv 2503.13421 in this project's reading)."""

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Energy, Round, Schedule, Terms, check, cost, energy, terms
from dmoe_gym.dmoe.scenarios import SCENARIOS, scenario
from dmoe_gym.dmoe.solvers import (
    allocate_subcarriers,
    homogeneous,
    lower_bound,
    solve_des,
    solve_exact,
    solve_jesa,
    top_k,
    value_greedy,
)

__all__ = [
    "SCENARIOS",
    "DMoEConfig",
    "Energy",
    "Round",
    "Schedule",
    "Terms",
    "allocate_subcarriers",
    "check",
    "cost",
    "energy",
    "homogeneous",
    "lower_bound",
    "scenario",
    "solve_des",
    "solve_exact",
    "solve_jesa",
    "terms",
    "top_k",
    "value_greedy",
]

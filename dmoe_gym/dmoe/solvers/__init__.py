"""Schedulers of one DMoE round: exact, iterative, greedy; and a bound. No Gymnasium."""

from dmoe_gym.dmoe.solvers.des import solve_des
from dmoe_gym.dmoe.solvers.exact import lower_bound, solve_exact
from dmoe_gym.dmoe.solvers.heuristics import top_k
from dmoe_gym.dmoe.solvers.jesa import homogeneous, solve_jesa
from dmoe_gym.dmoe.solvers.linear_assignment import allocate_subcarriers
from dmoe_gym.dmoe.solvers.value_greedy import value_greedy

__all__ = [
    "allocate_subcarriers",
    "homogeneous",
    "lower_bound",
    "solve_des",
    "solve_exact",
    "solve_jesa",
    "top_k",
    "value_greedy",
]

"""The exact joint optimum by the plain mixed-integer program of docs/dmoe.md, nothing ruled out beforehand."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from dmoe_gym.dmoe import Round, Schedule
from dmoe_gym.dmoe.physics import Constants


def solve_exact_plain(round: Round) -> Schedule:
    """Binaries selected x and allocated b, flow y[l,m] <= N b[l,m], sum_m y[l,m] = sum_n x[i,n,j], shortfall s."""
    config, constants = round.config, Constants.of(round.config)
    nodes, states, subcarriers = config.num_experts, config.num_states, config.num_subcarriers
    links = [(i, j) for i in range(nodes) for j in range(nodes) if i != j]
    x = np.arange(nodes * states * nodes).reshape(nodes, states, nodes)
    b = x.size + np.arange(len(links) * subcarriers).reshape(len(links), subcarriers)
    y = b + b.size
    s = x.size + 2 * b.size + np.arange(nodes * states).reshape(nodes, states)
    size = x.size + 2 * b.size + s.size
    objective = np.zeros(size)
    objective[x] = constants.computation
    for link, (i, j) in enumerate(links):
        objective[y[link]] = constants.transmission / round.spectral_efficiency[i, j]
    objective[s] = constants.shortfall_price
    upper, integrality = np.ones(size), np.zeros(size)
    upper[y] = states
    integrality[: x.size + b.size] = 1
    entries: list[tuple[int, int, float]] = []
    low: list[float] = []
    high: list[float] = []

    def constrain(terms: list[tuple[int, float]], least: float, most: float) -> None:
        entries.extend((len(low), int(column), float(value)) for column, value in terms)
        low.append(least)
        high.append(most)

    for i in range(nodes):
        for n in range(states):
            relevance = [(x[i, n, j], round.gate_scores[i, n, j]) for j in range(nodes)]
            constrain([*relevance, (s[i, n], 1)], round.attainable_threshold[i, n], np.inf)
            constrain([(column, 1) for column in x[i, n]], 1, config.max_experts)
    for m in range(subcarriers):
        constrain([(column, 1) for column in b[:, m]], -np.inf, 1)
    for link, (i, j) in enumerate(links):
        constrain([(column, 1) for column in b[link]], -np.inf, 1)
        constrain([*((column, 1) for column in y[link]), *((x[i, n, j], -1) for n in range(states))], 0, 0)
        for m in range(subcarriers):
            constrain([(y[link, m], 1), (b[link, m], -states)], -np.inf, 0)
    row, column, value = (np.array(part) for part in zip(*entries, strict=True))
    matrix = coo_array((value, (row, column)), shape=(len(low), size)).tocsr()
    result = milp(
        objective,
        constraints=LinearConstraint(matrix, low, high),
        integrality=integrality,
        bounds=Bounds(0, upper),
        options={"mip_rel_gap": 1e-9},
    )
    allocated = np.zeros((nodes, nodes, subcarriers), bool)
    for link, (i, j) in enumerate(links):
        allocated[i, j] = result.x[b[link]] > 0.5
    return Schedule(result.x[x] > 0.5, allocated)

"""The exact joint optimum of a round: a mixed-integer program solved by HiGHS."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from dmoe_gym.dmoe.physics import Constants, Round, Schedule, cost
from dmoe_gym.dmoe.solvers.des import solve_des
from dmoe_gym.dmoe.solvers.jesa import solve_jesa
from dmoe_gym.dmoe.solvers.linear_assignment import allocate_subcarriers
from dmoe_gym.dmoe.solvers.value_greedy import value_greedy
from dmoe_gym.io.extras import no_output


def relaxed_energies(round: Round) -> np.ndarray:
    """(K, K) energy of one hidden state of node i at expert j over the link's best subcarrier [E_ref / (K N D)].

    Infinite where even that subcarrier does not deliver one hidden state in the slot.
    """
    constants = Constants.of(round.config)
    efficiency = round.spectral_efficiency.max(-1)
    with np.errstate(divide="ignore"):
        energies = constants.transmission / efficiency
    if constants.slot_states < np.inf:
        energies[constants.slot_states * efficiency < 1] = np.inf
    np.fill_diagonal(energies, 0.0)
    return energies + constants.computation


def relaxed_selection(round: Round) -> tuple[np.ndarray, float]:
    """The selection of least cost if every link had its best subcarrier to itself, and that cost.

    Each hidden state minimises energy plus priced shortfall on its own, exactly.

    Returns:
        selected (K, N, K) bool; cost, a lower bound on every schedule's (docs/dmoe.md).
    """
    selected, costs = _relax(round)
    total = costs.sum() + Constants.of(round.config).round_energy
    return selected, float(total / (costs.size * round.config.max_experts))


def _relax(round: Round) -> tuple[np.ndarray, np.ndarray]:
    """Every hidden state's relaxed selection (K, N, K) and its cost (K, N) [E_ref / (K N D)]."""
    price = Constants.of(round.config).shortfall_price
    energies = np.broadcast_to(relaxed_energies(round)[:, None, :], round.gate_scores.shape)
    target = round.attainable_threshold
    selected = solve_des(round.gate_scores, energies, target, round.config.max_experts, shortfall_price=price)
    shortfall = np.maximum(0, target - (round.gate_scores * selected).sum(-1))
    return selected, np.where(selected, energies, 0).sum(-1) + price * shortfall


def forcing_cost(round: Round) -> np.ndarray:
    """How much the relaxed cost rises if an expert must serve a hidden state (this project's choice).

    A schedule in which it does costs at least the lower bound plus this, so whatever exceeds the gap between the
    bound and a known schedule can be left out of an exact search.

    Returns:
        (K, N, K) [E_ref / (K N D)], infinite for an expert out of reach.
    """
    config = round.config
    price = Constants.of(config).shortfall_price
    energies = np.broadcast_to(relaxed_energies(round)[:, None, :], round.gate_scores.shape)
    scores, target = round.gate_scores, round.attainable_threshold
    least = _relax(round)[1][..., None]
    missing = np.maximum(0, target[..., None] - scores)
    forced = energies + price * missing
    if config.max_experts > 1:
        # the others fill up what the forced expert (axis 2) leaves missing
        forced_is = np.eye(config.num_experts, dtype=bool)
        others = np.where(forced_is, np.inf, energies[..., None, :])
        scores = np.broadcast_to(scores[..., None, :], others.shape)
        chosen = solve_des(scores, others, missing, config.max_experts - 1, shortfall_price=price)
        added = np.where(chosen, others, 0).sum(-1)
        left = np.maximum(0, missing - (scores * chosen).sum(-1))
        forced = np.minimum(forced, energies + added + price * left)
    return forced - least


def require_free_of_episode(round: Round) -> None:
    """Refuse a round whose best schedule depends on the rounds around it.

    Raises:
        ValueError: naming the field.
    """
    for field in ("battery", "relevance_owed"):
        if getattr(round, field) is not None:
            raise ValueError(
                f"round.{field} = {getattr(round, field)}: valid here is None; an episode under a budget or with "
                "batteries has bounds over all its rounds (`dmoe.solvers.clairvoyant`)"
            )


def lower_bound(round: Round) -> float:
    """A cost that no schedule of the round undercuts; attained where the best subcarriers it uses are distinct.

    Proof: c subcarriers of a link take c / (sum of rates), at least 1 / (the best rate); so with every link on its best
    alone, whoever else wants it, no schedule costs more, and its cost is a sum of hidden states' own, each least.
    With a slot, or answers that travel back, it holds for schedules of at most one subcarrier per link, as
    environments' actions are.

    Raises:
        ValueError: for a round under a relevance budget or with batteries.
    """
    require_free_of_episode(round)
    return relaxed_selection(round)[1]


# HiGHS meets constraints within 1e-6; relevance is scaled up so that this stays far below any real trade.
_RELEVANCE_SCALE = 1e3


def solve_exact(round: Round, *, time_limit_s: float | None = None) -> Schedule:
    """The schedule of least cost (docs/dmoe.md), shortfall priced, over selections and subcarriers jointly.

    Where the lower bound's subcarriers are distinct it is attained and returned at once; otherwise HiGHS solves
    the joint program, without the choices that the gap between the best known schedule and the bound already rules
    out: with such a choice forced the bound (`forcing_cost`) is above the known schedule. With a slot, or answers that
    travel back, it is the best schedule of at most one subcarrier per link, as environments' actions are; links that
    would not deliver cannot be in it, since failing on purpose never pays.

    Raises:
        ValueError: if time_limit_s is not positive, or for a round under a relevance budget or with batteries.
        TimeoutError: if HiGHS did not prove optimality within time_limit_s.
    """
    if time_limit_s is not None and not time_limit_s > 0:
        raise ValueError(f"time_limit_s = {time_limit_s}: valid are positive numbers of seconds")
    require_free_of_episode(round)
    selected, bound = relaxed_selection(round)
    relaxed = Schedule(selected, allocate_subcarriers(round, selected))
    if cost(round, relaxed) <= bound * (1 + 1e-12):
        return relaxed
    known = min((relaxed, solve_jesa(round), value_greedy(round)), key=lambda schedule: cost(round, schedule))
    gap = (cost(round, known) - bound) * round.config.max_experts * round.gate_scores[..., 0].size
    found = _solve_program(round, gap * (1 + 1e-9) + 1e-9, time_limit_s)
    # rounding inside HiGHS must not leave the answer behind a schedule that is known
    return min((found, known), key=lambda schedule: cost(round, schedule))


def solve_within(round: Round, most_shortfall: float) -> Schedule:
    """The schedule of least energy whose mean shortfall is at most so much: a point of the round's Pareto front.

    Fronts of choices are not convex, and weighted sums find their corners alone; the constraint finds every point
    (Haimes, Lasdon, Wismer 1971). Subcarriers are as in `solve_exact`.

    Raises:
        ValueError: if most_shortfall is negative, or for a round under a relevance budget or with batteries.
    """
    if not most_shortfall >= 0:
        raise ValueError(f"most_shortfall = {most_shortfall}: valid are numbers of at least 0")
    require_free_of_episode(round)
    return _solve_program(round, np.inf, None, most_shortfall)


def _solve_program(
    round: Round, gap: float, time_limit_s: float | None, most_shortfall: float | None = None
) -> Schedule:
    """The joint program over the choices that can occur in a schedule at most `gap` above the lower bound.

    With `most_shortfall` shortfall has no price, and its mean no more than that.

    Binaries: x[i,n,j] for every expert that a hidden state may select, b[l,m] for every subcarrier that link l may
    hold. Continuous: flow y[l,m] of hidden states, shortfall s[i,n].

    minimise    sum transmission / efficiency * y + sum computation * x + price * s
    subject to  C1 x . scores + s >= target, C2, C3, one subcarrier per link, y <= c b, sum_m y[l,m] = sum_n x[l,n]
    with c[l,m] the largest payload that the link delivers, N without a slot.
    """
    config = round.config
    constants = Constants.of(config)
    states = config.num_states
    x_i, x_n, x_j = np.nonzero(forcing_cost(round) <= gap)
    link_used = np.zeros((config.num_experts, config.num_experts), bool)
    link_used[x_i, x_j] = True
    np.fill_diagonal(link_used, False)
    with np.errstate(divide="ignore", invalid="ignore"):
        energies = constants.transmission / round.spectral_efficiency
        # an active link pays at least this much more than over its best subcarrier
        dearer = energies - energies.min(-1, keepdims=True)
    capacity = np.full(energies.shape, float(states))
    if constants.slot_states < np.inf:
        capacity = np.minimum(capacity, np.floor(constants.slot_states * round.spectral_efficiency))
    usable = link_used[..., None] & np.isfinite(energies) & (capacity >= 1)
    b_i, b_j, b_m = np.nonzero(usable & (dearer <= gap))

    x = np.arange(len(x_i))
    b = len(x) + np.arange(len(b_i))
    y = b + len(b)
    s = len(x) + 2 * len(b) + np.arange(config.num_experts * states)
    size = len(x) + 2 * len(b) + len(s)
    objective = np.zeros(size)
    objective[x] = constants.computation[x_j]
    objective[y] = energies[b_i, b_j, b_m]
    objective[s] = constants.shortfall_price
    upper = np.ones(size)
    upper[y] = states
    integrality = np.zeros(size)
    integrality[: len(x) + len(b)] = 1

    state_of_x = x_i * states + x_n
    link_of_b = b_i * config.num_experts + b_j
    remote = x_i != x_j
    link_of_x = (x_i * config.num_experts + x_j)[remote]
    scores = round.gate_scores[x_i, x_n, x_j] * _RELEVANCE_SCALE
    rows = np.arange(len(b))
    constraints = [
        _rows(
            size,
            [(state_of_x, x, scores), (np.arange(len(s)), s, _RELEVANCE_SCALE)],
            round.attainable_threshold.ravel() * _RELEVANCE_SCALE,
            np.inf,
        ),
        _rows(size, [(state_of_x, x, 1)], 1, config.max_experts),
        _rows(size, [(b_m, b, 1)], -np.inf, 1),
        _rows(size, [(link_of_b, b, 1)], -np.inf, 1),
        _rows(size, [(rows, y, 1), (rows, b, -capacity[b_i, b_j, b_m])], -np.inf, 0),
        _rows(size, [(link_of_b, y, 1), (link_of_x, x[remote], -1)], 0, 0),
    ]
    if most_shortfall is not None:
        objective[s] = 0.0
        constraints.append(_rows(size, [(np.zeros(len(s), int), s, 1)], -np.inf, most_shortfall * len(s)))
    options: dict[str, float] = {"mip_rel_gap": 1e-9}
    if time_limit_s is not None:
        options["time_limit"] = time_limit_s
    bounds = Bounds(0, upper)
    with no_output():
        result = milp(objective, constraints=constraints, integrality=integrality, bounds=bounds, options=options)
    if result.status == 1:
        raise TimeoutError(f"HiGHS found no proof of optimality within {time_limit_s} s")
    if result.x is None:
        raise RuntimeError(f"HiGHS stopped without a solution: {result.message}")
    selected = np.zeros(round.gate_scores.shape, bool)
    selected[x_i, x_n, x_j] = result.x[x] > 0.5
    # the program's subcarriers, once more as an exact assignment
    return Schedule(selected, allocate_subcarriers(round, selected))


def _rows(size: int, entries: list, lower: Any, upper: Any) -> LinearConstraint:
    """A sparse linear constraint from (row indices, column indices, coefficients) triples; empty rows are dropped."""
    row = np.concatenate([entry[0] for entry in entries])
    column = np.concatenate([entry[1] for entry in entries])
    value = np.concatenate([np.broadcast_to(entry[2], np.shape(entry[0])) for entry in entries]).astype(float)
    used, row = np.unique(row, return_inverse=True)
    if np.ndim(lower):
        lower = lower[used]
    return LinearConstraint(coo_array((value, (row, column)), shape=(len(used), size)).tocsr(), lower, upper)

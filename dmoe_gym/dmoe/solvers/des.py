"""DES: exact expert selection for hidden states whose channels are already allocated."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np
import numpy.typing as npt
from numba import prange

from dmoe_gym.compiled.njit import njit_no_refcount, serial_or_parallel
from dmoe_gym.dmoe.solvers.des_kernel import FLOAT_ROWS, INT_ROWS, TOLERANCE, search

# With more experts than these the tree search visits so few sets that it is faster.
MOST_EXPERTS = 16


@njit_no_refcount
def search_pairs(scores, energies, threshold, selected):
    """`des_kernel.search` for D = 2 and a hard threshold: the cheapest expert or pair that meets it.

    Args:
        scores, energies: (K,) float64; an infinite energy marks an expert out of reach.
        threshold: the relevance asked for; lowered to what two experts can give.
        selected: (K,) bool, overwritten; all False only where no expert is in reach.
    """
    experts = scores.shape[0]
    highest = second = 0.0
    for j in range(experts):
        score = scores[j] if energies[j] < np.inf else 0.0
        second = max(second, min(highest, score))
        highest = max(highest, score)
    required = min(threshold, highest + second) - TOLERANCE
    least = np.inf
    first = other = -1
    # selections instead of branches, which could not be predicted here
    for j in range(experts):
        selected[j] = False
        better = (scores[j] >= required) & (energies[j] < least)
        least = energies[j] if better else least
        first = j if better else first
    other = first
    for j in range(experts):
        for k in range(j):
            energy = energies[j] + energies[k]
            better = (scores[j] + scores[k] >= required) & (energy < least)
            least = energy if better else least
            first = k if better else first
            other = j if better else other
    if first >= 0:
        selected[first] = True
        selected[other] = True


# Rows that one parallel task solves: enough to amortise its workspace.
_CHUNK = 128
# Rows whose solution takes about as long as a round elsewhere.
_ROWS_PER_ROUND = 16


@serial_or_parallel
def search_batch(scores, energies, thresholds, limit, prices, selected, nodes):
    """Solve every row; rows are independent, so the result does not depend on the number of threads."""
    rows, experts = scores.shape
    for chunk in prange((rows + _CHUNK - 1) // _CHUNK):
        floats = np.empty((FLOAT_ROWS, experts))
        ints = np.empty((INT_ROWS, experts), np.int64)
        for row in range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, rows)):
            nodes[row] = search(
                scores[row], energies[row], thresholds[row], limit, prices[row], selected[row], floats, ints
            )


@overload
def solve_des(
    gate_scores: npt.ArrayLike,
    energies: npt.ArrayLike,
    threshold: npt.ArrayLike,
    max_experts: int,
    *,
    shortfall_price: npt.ArrayLike = ...,
    return_nodes: Literal[False] = ...,
) -> np.ndarray: ...
@overload
def solve_des(
    gate_scores: npt.ArrayLike,
    energies: npt.ArrayLike,
    threshold: npt.ArrayLike,
    max_experts: int,
    *,
    shortfall_price: npt.ArrayLike = ...,
    return_nodes: Literal[True],
) -> tuple[np.ndarray, np.ndarray]: ...
def solve_des(
    gate_scores: npt.ArrayLike,
    energies: npt.ArrayLike,
    threshold: npt.ArrayLike,
    max_experts: int,
    *,
    shortfall_price: npt.ArrayLike = np.inf,
    return_nodes: bool = False,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """The cheapest experts of every hidden state that meet its threshold, exactly (arXiv 2503.13421, DES).

    minimise sum_j x_j energies_j subject to sum_j x_j gate_scores_j >= threshold and 1 <= sum_j x_j <= max_experts.
    Where even the max_experts best reachable scores miss the threshold, their sum takes its place.

    Args:
        gate_scores: (..., K), non-negative.
        energies: (..., K), non-negative, any unit; infinite for an expert out of reach.
        threshold: (...) or a number in [0, 1]; met within 1e-9.
        max_experts: D, from 1 to K.
        shortfall_price: (...) or a number; a finite one prices the shortfall instead of forbidding it (energy per
            unit of relevance missing), this project's choice for bounds.
        return_nodes: also return the number of visited tree nodes, (...) int64.

    Returns:
        selected: (..., K) bool; all False only where no expert is in reach.

    Raises:
        ValueError: on shapes that do not fit, NaN, negative scores or energies, thresholds outside [0, 1], D outside
            1..K.
    """
    scores = np.asarray(gate_scores, np.float64)
    costs = np.asarray(energies, np.float64)
    if scores.ndim < 1 or scores.shape != costs.shape:
        raise ValueError(f"energies: has shape {costs.shape}, valid is that of gate_scores, {scores.shape}")
    experts = scores.shape[-1]
    if (
        isinstance(max_experts, bool)
        or not isinstance(max_experts, int | np.integer)
        or not 1 <= max_experts <= experts
    ):
        raise ValueError(f"max_experts = {max_experts!r}: valid are whole numbers from 1 to K = {experts}")
    _refuse("gate_scores", scores, ~np.isfinite(scores) | (scores < 0), "finite numbers of at least 0")
    _refuse("energies", costs, ~(costs >= 0), "numbers of at least 0, or infinity for an expert out of reach")
    leading = scores.shape[:-1]
    thresholds = _spread("threshold", threshold, leading)
    _refuse("threshold", thresholds, ~((thresholds >= 0) & (thresholds <= 1)), "numbers from 0 to 1")
    prices = _spread("shortfall_price", shortfall_price, leading)
    _refuse("shortfall_price", prices, ~(prices >= 0), "numbers of at least 0, or infinity")
    selected: np.ndarray = np.zeros((thresholds.size, experts), np.bool_)
    nodes = np.zeros(thresholds.size, np.int64)
    search_batch(
        thresholds.size / _ROWS_PER_ROUND,
        np.ascontiguousarray(scores).reshape(-1, experts),
        np.ascontiguousarray(costs).reshape(-1, experts),
        thresholds.ravel(),
        int(max_experts),
        prices.ravel(),
        selected,
        nodes,
    )
    selected = selected.reshape(scores.shape)
    return (selected, nodes.reshape(leading)) if return_nodes else selected


def _spread(name: str, value: npt.ArrayLike, leading: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(value, np.float64)
    try:
        return np.ascontiguousarray(np.broadcast_to(array, leading))
    except ValueError:
        raise ValueError(f"{name}: has shape {array.shape}, valid is {leading} or a number") from None


def _refuse(name: str, array: np.ndarray, wrong: np.ndarray, valid: str) -> None:
    if wrong.any():
        index = [int(part) for part in np.argwhere(wrong)[0]] if array.ndim else []
        raise ValueError(f"{name}{index or ''} = {array[tuple(index)]}: valid are {valid}")

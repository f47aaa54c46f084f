"""The analytic schedulers on batches of observed rounds, each under the name that tables use."""

from __future__ import annotations

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import serial_or_parallel
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.schedulers.scheduler import Correctable, Corrections, Observation, Scheduler, observed_rounds, seen
from dmoe_gym.dmoe.solvers.heuristics import channel_greedy_round, des_round, random_round, top_k_round
from dmoe_gym.dmoe.solvers.jesa import jesa_batch
from dmoe_gym.dmoe.solvers.single_pass import priced_single_pass_batch, single_pass_batch
from dmoe_gym.dmoe.solvers.value_greedy import MAX_PASSES, value_greedy_round


class JESA(Correctable):
    """JESA with the system's own threshold."""

    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        jesa_batch(*seen(observation), self.constants, selected, subcarrier)

    def fill_corrected(self, observation: Observation, corrections: Corrections, *schedule: np.ndarray) -> None:
        selected, subcarrier = schedule
        size, scores, efficiency, thresholds = seen(observation)
        thresholds, prices = corrections.thresholds(thresholds), corrections.prices
        rates = (efficiency / prices[:, :, None, None]).astype(efficiency.dtype)
        for row in range(size):
            constants = self.constants._replace(computation=self.constants.computation * prices[row])
            one = slice(row, row + 1)
            jesa_batch(1, scores[one], rates[one], thresholds[one], constants, selected[one], subcarrier[one])


class Homogeneous(Scheduler):
    """JESA with one threshold in every layer.

    Raises:
        ValueError: if z lies outside [0, 1].
    """

    def __init__(self, config: DMoEConfig, z: float) -> None:
        if not 0 <= z <= 1:
            raise ValueError(f"z = {z}: valid are numbers from 0 to 1")
        super().__init__(config)
        self.z = z

    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        size, scores, efficiency, thresholds = seen(observation)
        asked = np.full_like(thresholds, self.z)
        jesa_batch(size, scores, efficiency, asked, self.constants, selected, subcarrier)


class TopK(Scheduler):
    """The k best gate scores of each hidden state.

    Raises:
        ValueError: if k is not from 1 to D.
    """

    def __init__(self, config: DMoEConfig, k: int) -> None:
        if not 1 <= k <= config.max_experts:
            raise ValueError(f"k = {k}: valid are whole numbers from 1 to max_experts = {config.max_experts}")
        super().__init__(config)
        self.k = k

    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        size, scores, efficiency, _ = seen(observation)
        _top_k(size, scores, efficiency, self.k, self.constants, selected, subcarrier)


class DES(Scheduler):
    """DES over every link's best subcarrier, then the assignment."""

    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        _des(*seen(observation), self.constants, selected, subcarrier)


class ChannelGreedy(Scheduler):
    """The cheapest experts until the threshold holds."""

    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        _greedy(*seen(observation), self.constants, selected, subcarrier)


class ValueGreedy(Scheduler):
    """The links of most worth, one after the other; with local search unless told otherwise."""

    def __init__(self, config: DMoEConfig, local_search: bool = True) -> None:
        super().__init__(config)
        self.passes = MAX_PASSES if local_search else 0

    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        for scores, rates, threshold, chosen, route in observed_rounds(observation, selected, subcarrier):
            value_greedy_round(scores, rates, threshold, self.constants, chosen, route, self.passes)


class SinglePass(Correctable):
    """One selection, a knapsack over links where subcarriers are scarce, one assignment (`solvers.single_pass`).

    Args:
        candidates: links per node that the knapsack looks at, K - 1 at most.
        hard: must the threshold hold where subcarriers suffice? Otherwise shortfall has the cost's own price.

    Raises:
        ValueError: if candidates is not from 1 to 16, or under a slot, a budget or batteries, which it does not know.
    """

    def __init__(self, config: DMoEConfig, candidates: int = 5, hard: bool = False) -> None:
        if not 1 <= candidates <= 16:
            raise ValueError(f"candidates = {candidates}: valid are whole numbers from 1 to 16")
        if config.is_limited:
            raise ValueError("single-pass: valid for it are configurations without slot, relevance budget and battery")
        super().__init__(config)
        self.candidates = min(int(candidates), config.num_experts - 1)
        price = np.inf if hard else self.constants.shortfall_price
        self.constants = self.constants._replace(selection_price=price)

    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        single_pass_batch(*seen(observation), self.constants, self.candidates, selected, subcarrier)

    def fill_corrected(self, observation: Observation, corrections: Corrections, *schedule: np.ndarray) -> None:
        size, scores, efficiency, thresholds = seen(observation)
        priced_single_pass_batch(
            size, scores, efficiency, corrections.thresholds(thresholds), self.constants, corrections.prices,
            self.candidates, *schedule,
        )  # fmt: skip


class Random(Scheduler):
    """Random feasible schedules from a generator of its own."""

    def __init__(self, config: DMoEConfig, seed: int = 0) -> None:
        super().__init__(config)
        self.generator = np.random.default_rng(seed)

    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        size, scores, efficiency, thresholds = seen(observation)
        for row in range(size):
            random_round(
                scores[row],
                efficiency[row],
                float(thresholds[row]),
                self.constants,
                selected[row],
                subcarrier[row],
                self.generator,
            )


@serial_or_parallel
def _top_k(gate_scores, efficiency, k, constants, selected, subcarrier):
    for row in prange(gate_scores.shape[0]):
        top_k_round(gate_scores[row], efficiency[row], np.float64(0), constants, selected[row], subcarrier[row], k)


@serial_or_parallel
def _des(gate_scores, efficiency, thresholds, constants, selected, subcarrier):
    for row in prange(gate_scores.shape[0]):
        des_round(
            gate_scores[row], efficiency[row], np.float64(thresholds[row]), constants, selected[row], subcarrier[row]
        )


@serial_or_parallel
def _greedy(gate_scores, efficiency, thresholds, constants, selected, subcarrier):
    for row in prange(gate_scores.shape[0]):
        channel_greedy_round(
            gate_scores[row], efficiency[row], np.float64(thresholds[row]), constants, selected[row], subcarrier[row]
        )

"""DMoE-JESA-v0: one step decides a whole round, selection bits and one subcarrier index per link."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from gymnasium import spaces
from numba import prange

from dmoe_gym.compiled.njit import njit, njit_no_refcount, serial_or_parallel
from dmoe_gym.dmoe.env.base import DMoECore
from dmoe_gym.dmoe.env.batch import charge, new_workspace, next_round
from dmoe_gym.dmoe.env.repair import repair_draft
from dmoe_gym.dmoe.physics import Schedule
from dmoe_gym.dmoe.solvers.jesa import MAX_ITERATIONS, jesa
from dmoe_gym.dmoe.solvers.priced import relevance_priced
from dmoe_gym.dmoe.solvers.repair import cure_shortfalls, mark_taken

# Rounds that share one workspace: allocating takes a tenth of the time of settling a small round.
ROWS_PER_CHUNK = 16


class JointCore(DMoECore):
    """One step decides a whole round: which experts serve which hidden state, and every link's subcarrier.

    Every action is accepted and repaired into a feasible schedule, no better than that; `repairs` counts what it took.
    Of more than D experts the lowest scores go. Of links that wish the same subcarrier the one with the better channel
    keeps it and the others take the next free one. Hidden states that are short get the best scores in reach, where the
    threshold is enforced. Wishes of links that carry nothing are ignored. `env.unwrapped.encode(schedule)` is the
    inverse for feasible schedules.
    """

    decides_rounds = True
    entries: Mapping[str, str] = MappingProxyType(
        {
            "selection": "K*N*K: 1 where expert j serves hidden state n of node i, at (i N + n) K + j",
            "subcarrier": "K*(K - 1): wished subcarrier, 0 to M - 1, of every link i to j: 0-1, 0-2, ..., 1-0, ...",
        }
    )

    def _action_space(self) -> spaces.Space:
        config = self.config
        bits = config.num_experts * config.num_states * config.num_experts
        links = config.num_experts * (config.num_experts - 1)
        return spaces.MultiDiscrete(np.r_[np.full(bits, 2), np.full(links, config.num_subcarriers)])

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        # one pass over the batch to the end of the step, where nothing has to be done in between
        gains, scores = self._inside(first=False)
        whole = gains and self.recorder is None
        _step(len(rows), rows, actions, whole, scores, self.rounds_per_episode, self.constants, self.rules, self.batch)
        if not whole:
            self._finish_round(rows)
        elif not scores:
            self.relevance.advance(rows[~self.terminated[rows]], self.generators)

    def encode(self, schedule: Schedule) -> np.ndarray:
        """The action that decodes to this schedule, if it is feasible and uses at most one subcarrier per link."""
        return encode_joint(schedule.selected, schedule.allocated.argmax(-1))


def encode_joint(selected: np.ndarray, subcarrier: np.ndarray) -> np.ndarray:
    """Selections (..., K, N, K) and subcarriers (..., K, K; -1 for none) as actions (..., K*N*K + K*(K-1))."""
    *leading, experts, states, _ = selected.shape
    actions = np.empty((*leading, experts * (states * experts + experts - 1)), np.int64)
    _encode(
        np.ascontiguousarray(selected, np.bool_).reshape(-1, experts, states, experts),
        np.ascontiguousarray(subcarrier, np.int64).reshape(-1, experts, experts),
        actions.reshape(-1, actions.shape[-1]),
    )
    return actions


@njit_no_refcount
def _encode(selected, subcarrier, actions):
    """The inverse of `decode_joint`, for a batch."""
    batch, experts, states, _ = selected.shape
    for row in range(batch):
        position = 0
        for i in range(experts):
            for n in range(states):
                for j in range(experts):
                    actions[row, position] = selected[row, i, n, j]
                    position += 1
        for i in range(experts):
            for j in range(experts):
                if i != j:
                    actions[row, position] = max(subcarrier[row, i, j], 0)
                    position += 1


@njit_no_refcount
def decode_joint(action, selected, subcarrier):
    """Write an action's bits and wishes into selected (K, N, K) and subcarrier (K, K)."""
    experts, states, _ = selected.shape
    position = 0
    for i in range(experts):
        for n in range(states):
            for j in range(experts):
                selected[i, n, j] = action[position] == 1
                position += 1
    for i in range(experts):
        for j in range(experts):
            if i == j:
                subcarrier[i, j] = -1
            else:
                subcarrier[i, j] = action[position]
                position += 1


@njit_no_refcount(forceinline=True)
def apply_joint(row, actions, asked, constants, batch, workspace):
    """Write an action's schedule, made feasible for a threshold; return the number of repairs."""
    selected, subcarrier = batch.selected[row], batch.subcarrier[row]
    decode_joint(actions[row], selected, subcarrier)
    return repair_draft(
        batch.gate_scores[row], batch.efficiency[row], asked, constants, selected, subcarrier, workspace
    )


@serial_or_parallel
def _step(rows, actions, whole, scores, last, constants, rules, batch):
    """Apply and charge the actions; where `whole`, begin the next round too (layers 1 to `last`), with its `scores`."""
    rewards = batch.rewards  # what a parallel loop writes by an attribute of a tuple is lost
    for chunk in prange((rows.shape[0] + ROWS_PER_CHUNK - 1) // ROWS_PER_CHUNK):
        workspace = new_workspace(constants, batch)
        for position in range(chunk * ROWS_PER_CHUNK, min((chunk + 1) * ROWS_PER_CHUNK, rows.shape[0])):
            row = rows[position]
            asked = np.float64(batch.threshold[row, 0]) if rules.enforced else 0.0
            repairs = apply_joint(row, actions, asked, constants, batch, workspace)
            rewards[row] = -charge(row, repairs, constants, rules, batch, workspace)
            if whole:
                next_round(row, last, scores, constants, rules, batch)


# What an action of 1 means (this project's choice): a link four times as dear, a threshold 1.5 times as high.
LOG_LINK_PRICE = float(np.log(4.0))
LOG_THRESHOLD_FACTOR = float(np.log(1.5))
# What action 0 pays for a hidden state's relevance under a budget [E_ref / (K N D)] (this project's choice: about what
# tuning found in the scenario `budget`).
RELEVANCE_PRICE = 3.0


class PriceCore(DMoECore):
    """One step prices a whole round, and JESA decides it at those prices; action 0 is JESA.

    What JESA returns is feasible for the true threshold after the same last cure that every schedule gets. Where the
    configuration does not enforce the threshold nothing is cured, and under a relevance budget the last entry is a
    factor 4^entry on the price that JESA pays for relevance.
    """

    decides_rounds = True
    entries = MappingProxyType(
        {
            "price": "K*(K - 1): energy of link i to j is multiplied by 4^entry: links 0-1, 0-2, ..., 1-0, ...",
            "threshold": "1: the threshold is multiplied by 1.5^entry (at most 1)",
        }
    )

    def _action_space(self) -> spaces.Space:
        links = self.config.num_experts * (self.config.num_experts - 1)
        return spaces.Box(-1, 1, (links + 1,), np.float32)

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        _step_prices(
            len(rows), rows, actions, self.config.relevance_budget is not None, self.constants, self.rules, self.batch
        )
        self._finish_round(rows)


@njit
def price_links(action, efficiency, priced):
    """Efficiencies as an action's link prices make them seem, (K, K, M); return how many entries that took."""
    experts, _, subcarriers = efficiency.shape
    # a link twice as dear is a link of half the efficiency
    position = 0
    for i in range(experts):
        for j in range(experts):
            factor = 1.0
            if i != j:
                factor = np.exp(-LOG_LINK_PRICE * action[position])
                position += 1
            for m in range(subcarriers):
                priced[i, j, m] = efficiency[i, j, m] * factor
    return position


@njit
def decode_price(row, actions, budgeted, constants, rules, batch):
    """Write JESA's schedule under an action's prices; return the number of cures."""
    action, threshold = actions[row], np.float64(batch.threshold[row, 0])
    gate_scores, efficiency = batch.gate_scores[row], batch.efficiency[row]
    selected, subcarrier = batch.selected[row], batch.subcarrier[row]
    priced = np.empty(efficiency.shape)
    position = price_links(action, efficiency, priced)
    factor = action[position]
    if budgeted:
        price = RELEVANCE_PRICE * np.exp(LOG_LINK_PRICE * factor)
        relevance_priced(gate_scores, priced, constants, price, selected, subcarrier)
        return 0
    asked = min(1.0, threshold * np.exp(LOG_THRESHOLD_FACTOR * factor))
    jesa(gate_scores, priced, asked, constants, selected, subcarrier, MAX_ITERATIONS)
    if not rules.enforced:
        return 0
    taken = np.empty(efficiency.shape[2], np.bool_)
    mark_taken(subcarrier, taken)
    return cure_shortfalls(gate_scores, efficiency, threshold, constants, selected, subcarrier, taken)


@serial_or_parallel
def _step_prices(rows, actions, budgeted, constants, rules, batch):
    rewards = batch.rewards  # what a parallel loop writes by an attribute of a tuple is lost
    for position in prange(rows.shape[0]):
        row = rows[position]
        repairs = decode_price(row, actions, budgeted, constants, rules, batch)
        rewards[row] = -charge(row, repairs, constants, rules, batch, new_workspace(constants, batch))

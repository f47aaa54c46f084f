"""DMoE-JESA-v0: one step decides a whole round, selection bits and one subcarrier index per link."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from gymnasium import spaces
from numba import prange

from dmoe_gym.compiled.njit import njit_no_refcount
from dmoe_gym.compiled.threads import serial_or_parallel
from dmoe_gym.dmoe.env.base import DMoECore
from dmoe_gym.dmoe.env.batch import new_workspace
from dmoe_gym.dmoe.env.charge import charge
from dmoe_gym.dmoe.env.observe import next_round
from dmoe_gym.dmoe.env.repair import repair_draft
from dmoe_gym.dmoe.physics import Schedule

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
    entries = MappingProxyType(
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

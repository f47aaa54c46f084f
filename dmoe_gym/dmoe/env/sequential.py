"""DMoE-JESA-Sequential-v0: one pick (expert, subcarrier) or "done" for one hidden state after the other."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from gymnasium import spaces
from numba import prange

from dmoe_gym.compiled.njit import njit, serial_or_parallel
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.env.base import TERMS, DMoECore
from dmoe_gym.dmoe.env.batch import charge, new_workspace
from dmoe_gym.dmoe.env.masks import nearest_feasible, write_mask
from dmoe_gym.dmoe.env.repair import raise_relevance
from dmoe_gym.dmoe.physics.terms import attainable, cost_of, shortfall_cost, transmission_energy
from dmoe_gym.dmoe.solvers.repair import mark_taken


class SequentialCore(DMoECore):
    """One step is one pick, for the hidden states of a round one by one, node after node, under exact action masks.

    A node's own expert is picked with m = 0 and a link that has a subcarrier with that one; an expert over a new link
    with any free one. Masks are in `info["action_mask"]` and `env.unwrapped.action_masks()`. An action outside the mask
    is replaced by the nearest feasible one and counted in `repairs`: the same expert over its best feasible subcarrier,
    else the expert of largest score over its best one, else done. While free subcarriers suffice for whatever may still
    be asked for, every hidden state must reach its threshold; elsewhere it may be left short, and what is dearer short
    than cured gets the best scores in reach at the round's end, counted likewise.

    A pick costs its energy, the end of a hidden state its priced shortfall.
    """

    turn: np.ndarray
    masked = True
    meaning = MappingProxyType(
        {
            **DMoECore.meaning,
            "selected": "(K, N, K): 1 where expert j was picked for hidden state n of node i",
            "allocated": "(K, K, M): 1 where link i to j has subcarrier m",
            "turn": "(K*N,): 1 at i N + n, the hidden state whose turn it is, else 0",
        }
    )
    entries = MappingProxyType(
        {
            "pick": "K*M: j M + m lets expert j serve the hidden state whose turn it is, over subcarrier m",
            "done": "1: K M ends the hidden state, as its D-th pick does",
        }
    )
    _upper: ClassVar[Mapping[str, float]] = {**DMoECore._upper, "selected": 1, "allocated": 1, "turn": 1}

    def __init__(self, num_envs: int, config: DMoEConfig) -> None:
        experts, states, subcarriers = config.num_experts, config.num_states, config.num_subcarriers
        self.turn = np.zeros(num_envs, np.int64)
        self.selected_seen = np.zeros((num_envs, experts, states, experts), np.float32)
        self.allocated_seen = np.zeros((num_envs, experts, experts, subcarriers), np.float32)
        self.turn_seen = np.zeros((num_envs, experts * states), np.float32)
        self._masks = np.zeros((num_envs, experts * subcarriers + 1), np.bool_)
        self._complete = np.zeros(num_envs, np.bool_)
        self._charged = np.zeros((num_envs, len(TERMS)))
        super().__init__(num_envs, config)

    def _observations(self) -> dict[str, np.ndarray]:
        return {
            **super()._observations(),
            "selected": self.selected_seen,
            "allocated": self.allocated_seen,
            "turn": self.turn_seen,
        }

    def _action_space(self) -> spaces.Space:
        return spaces.Discrete(self.config.num_experts * self.config.num_subcarriers + 1)

    def masks(self) -> np.ndarray:
        return self._masks

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        _step(
            len(rows) / 4,
            rows,
            actions,
            self.constants,
            self.rules,
            self.batch,
            self.turn,
            self.selected_seen,
            self.allocated_seen,
            self.turn_seen,
            self._masks,
            self._complete,
            self._charged,
        )
        complete = self._complete[rows]
        if complete.any():
            self._finish_round(rows[complete])

    def _observe_round(self, rows: np.ndarray, first: bool = False, gains: bool = False, scores: bool = False) -> None:
        super()._observe_round(rows, first, gains, scores)
        self.turn[rows] = 0
        self.selected[rows] = False
        self.subcarrier[rows] = -1
        self.selected_seen[rows] = 0
        self.allocated_seen[rows] = 0
        self.turn_seen[rows] = 0
        self.turn_seen[rows, 0] = 1
        _mask_rows(
            len(rows) / 4,
            rows,
            self.turn,
            self.relevance.gate_scores,
            self.efficiency,
            self.threshold if self.rules.enforced else np.zeros_like(self.threshold),
            self.constants.max_experts,
            self.selected,
            self.subcarrier,
            self._masks,
        )


@njit
def _mask_row(turn, gate_scores, efficiency, threshold, limit, selected, subcarrier, mask):
    taken = np.empty(efficiency.shape[2], np.bool_)
    mark_taken(subcarrier, taken)
    write_mask(turn, gate_scores, selected, np.float64(threshold), limit, efficiency, subcarrier, taken, mask)


@serial_or_parallel
def _mask_rows(rows, turn, gate_scores, efficiency, thresholds, limit, selected, subcarrier, masks):
    for position in prange(rows.shape[0]):
        row = rows[position]
        _mask_row(
            turn[row],
            gate_scores[row],
            efficiency[row],
            thresholds[row, 0],
            limit,
            selected[row],
            subcarrier[row],
            masks[row],
        )


@serial_or_parallel
def _step(
    rows, actions, constants, rules, batch, turn, selected_seen, allocated_seen, turn_seen, masks, complete, charged
):  # fmt: skip
    energy_unit = rules.energy_unit
    gate_scores, efficiency, gains = batch.gate_scores, batch.efficiency, batch.gains
    selected, subcarrier, terms = batch.selected, batch.subcarrier, batch.terms
    rewards = batch.rewards  # what a parallel loop writes by an attribute of a tuple is lost
    _, nodes, states, experts = gate_scores.shape
    subcarriers = efficiency.shape[3]
    done = experts * subcarriers
    for position in prange(rows.shape[0]):
        row = rows[position]
        threshold = np.float64(batch.threshold[row, 0])
        asked = threshold if rules.enforced else 0.0
        complete[row] = False
        i, n = turn[row] // states, turn[row] % states
        scores, chosen = gate_scores[row, i, n], selected[row, i, n]
        terms[row] = 0.0
        if turn[row] == 0 and not chosen.any():
            charged[row] = 0.0
        action = actions[row]
        repairs = 0
        if not masks[row, action]:
            action = nearest_feasible(action, scores, efficiency[row, i], masks[row])
            repairs = 1
        count = 0
        if action != done:
            j, m = action // subcarriers, action % subcarriers
            chosen[j] = True
            selected_seen[row, i, n, j] = 1
            communication = 0.0
            if i != j:
                subcarrier[row, i, j] = m
                allocated_seen[row, i, j, m] = 1
                rate = np.log2(1 + constants.snr_per_gain * gains[row, i, j, m])
                communication = min(
                    transmission_energy(1, 1, rate, constants), constants.transmission * constants.slot_states
                )
            terms[row, 0] = cost_of(communication, constants.computation[j], 0.0, nodes * states, constants)
            terms[row, 1] = communication * energy_unit
            terms[row, 2] = constants.computation[j] * energy_unit
            terms[row, 3] = scores[j] / (nodes * states)
            for expert in range(experts):
                count += chosen[expert]
        if action == done or count == constants.max_experts:
            served = 0.0
            for expert in range(experts):
                if chosen[expert]:
                    served += scores[expert]
            best = np.empty(constants.max_experts)
            shortfall = max(0.0, attainable(scores, threshold, best) - served) / (nodes * states)
            terms[row, 0] += shortfall_cost(shortfall, constants)
            terms[row, 4] = shortfall
            turn_seen[row, turn[row]] = 0
            turn[row] += 1
            if turn[row] == nodes * states:
                complete[row] = True
                turn[row] -= 1  # should the episode end here: a terminal observation repeats the last turn
                masks[row] = False
                masks[row, done] = True
                workspace = new_workspace(constants, batch)
                taken = workspace.taken
                mark_taken(subcarrier[row], taken)
                repairs += raise_relevance(
                    gate_scores[row], efficiency[row], asked, constants, selected[row], subcarrier[row], taken,
                    subcarrier[row], workspace,
                )  # fmt: skip
                # the last step settles what the round's cost and the picks so far differ in: the constant energy,
                # and what the repair changed
                charge(row, 0, constants, rules, batch, workspace)
                terms[row] -= charged[row]
            turn_seen[row, turn[row]] = 1
        if not complete[row]:
            charged[row] += terms[row]
            _mask_row(
                turn[row],
                gate_scores[row],
                efficiency[row],
                asked,
                constants.max_experts,
                selected[row],
                subcarrier[row],
                masks[row],
            )
        terms[row, 5] = repairs
        rewards[row] = -terms[row, 0]


def next_picks(
    selected: np.ndarray, subcarrier: np.ndarray, picked: np.ndarray, turn: np.ndarray, subcarriers: int
) -> np.ndarray:
    """The action that carries a planned schedule one pick further, for a batch.

    Args:
        selected: (B, K, N, K) bool, subcarrier: (B, K, K): the plan.
        picked: (B, K, N, K), turn: (B, K * N): from the observation.
        subcarriers: M.

    Returns:
        (B,) int64: the planned expert of lowest index that is not picked yet, or "done".
    """
    batch, experts, states, _ = selected.shape
    rows = np.arange(batch)
    i, n = np.divmod(turn.argmax(-1), states)
    missing = selected[rows, i, n] & ~(picked[rows, i, n] > 0)
    j = missing.argmax(-1)
    picks = j * subcarriers + np.maximum(subcarrier[rows, i, j], 0)
    return np.where(missing.any(-1), picks, experts * subcarriers)

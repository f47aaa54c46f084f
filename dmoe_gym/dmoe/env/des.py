"""DMoE-DES-v0: one step selects the experts of one hidden state; the channel is already allocated."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from gymnasium import spaces
from numba import prange

from dmoe_gym.compiled.njit import serial_or_parallel
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.env.base import DMoECore
from dmoe_gym.dmoe.env.repair import most_relevant_change
from dmoe_gym.dmoe.physics.terms import attainable, cost_of, transmission_energy
from dmoe_gym.dmoe.solvers.jesa import provisional_subcarriers
from dmoe_gym.dmoe.solvers.repair import best_change, limit_experts, needs_cure

# What the observation shows for an expert out of reach [E_ref / (K N D)], and the most it shows for any.
UNREACHABLE = 1e6


class DESCore(DMoECore):
    """One step selects the experts of one hidden state, node after node, over JESA's provisional subcarriers.

    More than D experts lose those of least score; without experts, or with a shortfall
    dearer than its cure, the best scores in reach are added or exchanged one at a time; `repairs` counts the changes.

    A step's cost is its hidden state's share of the round: energies of the selected experts over the given
    subcarriers plus the priced shortfall, so a round's steps sum to the round's cost. Where there are fewer
    subcarriers than links, every link keeps its best one and the sum is the cost without exclusivity. Energies are
    observed, and subcarriers given, by what is known of the channel; paid is what the channel really takes. A slot, a
    relevance budget and a battery bind hidden states together: configurations with one are refused.
    """

    turn: np.ndarray
    meaning = MappingProxyType(
        {
            "gate_scores": "(K,): relevance of every expert for the hidden state; sums to 1",
            "energy": "(K,): what expert j takes, radio and computation [E_ref / (K N D)]; 1e6 where out of reach",
            "threshold": DMoECore.meaning["threshold"],
        }
    )
    entries = MappingProxyType({"selection": "K: 1 where expert j serves the hidden state"})
    _upper: ClassVar[Mapping[str, float]] = {"gate_scores": 1, "threshold": 1, "energy": UNREACHABLE}

    def __init__(self, num_envs: int, config: DMoEConfig) -> None:
        for field in ("slot_duration_s", "relevance_budget", "battery_j"):
            if getattr(config, field) is not None:
                raise ValueError(f"{field} = {getattr(config, field)}: valid for DMoE-DES-v0 is None")
        self.turn = np.zeros(num_envs, np.int64)
        self.link_energy = np.zeros((num_envs, config.num_experts, config.num_experts))
        # the energies of the true channel; the same array where knowledge is perfect
        perfect = config.csi.is_perfect
        self.paid_energy = self.link_energy if perfect else np.zeros_like(self.link_energy)
        self.state_scores = np.zeros((num_envs, config.num_experts), np.float32)
        self.state_energy = np.zeros((num_envs, config.num_experts), np.float32)
        super().__init__(num_envs, config)

    def _observations(self) -> dict[str, np.ndarray]:
        return {"gate_scores": self.state_scores, "energy": self.state_energy, "threshold": self.threshold}

    def _action_space(self) -> spaces.Space:
        return spaces.MultiBinary(self.config.num_experts)

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        _step(
            len(rows) / 8,
            rows,
            actions,
            self.turn,
            self.relevance.gate_scores,
            self.link_energy,
            self.paid_energy,
            self.threshold,
            self.constants,
            self.config.energy_unit_j,
            self.selected,
            self.term_values,
            self.rewards,
        )
        complete = self.turn[rows] == self.config.num_experts * self.config.num_states
        if complete.any():
            self._finish_round(rows[complete])
        _observe_state(len(rows) / 8, rows, *self._view())

    def _observe_round(self, rows: np.ndarray, first: bool = False, gains: bool = False, scores: bool = False) -> None:
        super()._observe_round(rows, first, gains, scores)
        self.turn[rows] = 0
        self.selected[rows] = False
        for known, energies in (
            (self.observed_gains, self.link_energy),
            (self.gains, self.paid_energy),
        ):
            _allocate(len(rows), rows, self.efficiency, known, self.constants, self.subcarrier, energies)
            if self.paid_energy is self.link_energy:
                break
        _observe_state(len(rows) / 8, rows, *self._view())

    def _view(self) -> tuple[np.ndarray, ...]:
        return (self.turn, self.relevance.gate_scores, self.link_energy, self.state_scores, self.state_energy)


@serial_or_parallel
def _allocate(rows, efficiency, gains, constants, subcarrier, link_energy):
    """Provisional subcarriers of every link, and the energy of one hidden state over them."""
    experts = subcarrier.shape[1]
    for position in prange(rows.shape[0]):
        row = rows[position]
        provisional_subcarriers(efficiency[row], subcarrier[row])
        for i in range(experts):
            for j in range(experts):
                energy = constants.computation[j]
                if i != j:
                    m = subcarrier[row, i, j]
                    rate = np.log2(1 + constants.snr_per_gain * gains[row, i, j, m]) if m >= 0 else 0.0
                    # 32 bit, so that the energies seen are the energies paid
                    energy = (
                        np.float64(np.float32(energy + transmission_energy(1, 1, rate, constants)))
                        if rate > 0
                        else np.inf
                    )
                link_energy[row, i, j] = energy


@serial_or_parallel
def _observe_state(rows, turn, gate_scores, link_energy, state_scores, state_energy):
    """The scores and energies of the hidden state whose turn it is."""
    _, nodes, states, experts = gate_scores.shape
    for position in prange(rows.shape[0]):
        row = rows[position]
        if turn[row] < nodes * states:  # a terminal observation repeats the last one
            i, n = turn[row] // states, turn[row] % states
            for j in range(experts):
                state_scores[row, j] = gate_scores[row, i, n, j]
                state_energy[row, j] = min(link_energy[row, i, j], UNREACHABLE)


@serial_or_parallel
def _step(
    rows, actions, turn, gate_scores, link_energy, paid_energy, thresholds, constants, energy_unit, selected, terms,
    rewards,
):  # fmt: skip
    _, nodes, states, experts = gate_scores.shape
    for position in prange(rows.shape[0]):
        row = rows[position]
        i, n = turn[row] // states, turn[row] % states
        scores, energies, chosen = gate_scores[row, i, n], link_energy[row, i], selected[row, i, n]
        threshold = np.float64(thresholds[row, 0])
        best = np.empty(constants.max_experts)
        for j in range(experts):
            chosen[j] = actions[row, j] == 1
        repairs = limit_experts(scores, chosen, constants.max_experts)
        for j in range(experts):
            if chosen[j] and energies[j] == np.inf:
                chosen[j] = False
                repairs += 1
        while needs_cure(scores, chosen, threshold, best):
            if best_change(scores, energies, chosen, threshold, constants, best)[0] < 0:
                break
            joiner, leaver = most_relevant_change(scores, energies, chosen, constants.max_experts)
            chosen[joiner] = True
            if leaver >= 0:
                chosen[leaver] = False
            repairs += 1
        communication = 0.0
        computation = constants.round_energy / (nodes * states)
        relevance = 0.0
        for j in range(experts):
            if chosen[j]:
                communication += paid_energy[row, i, j] - constants.computation[j]
                computation += constants.computation[j]
                relevance += scores[j]
        shortfall = max(0.0, attainable(scores, threshold, best) - relevance)
        scale = nodes * states
        terms[row, 0] = cost_of(communication, computation, shortfall, scale, constants)
        terms[row, 1] = communication * energy_unit
        terms[row, 2] = computation * energy_unit
        terms[row, 3] = relevance / scale
        terms[row, 4] = shortfall / scale
        terms[row, 5] = repairs
        rewards[row] = -terms[row, 0]
        turn[row] += 1

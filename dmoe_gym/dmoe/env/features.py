"""What a residual scheduler observes: one flat vector of named numbers of order one, of a length that K alone decides.

All are functions of the present and past observations of `DMoE-JESA-v0` in the episode.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple, Self

import numpy as np
from numba import prange

from dmoe_gym.compiled.njit import njit
from dmoe_gym.compiled.threads import serial_or_parallel

# One of each per node, and what it means. Where a scenario has no such thing it is 0.
NODE_FEATURES = MappingProxyType(
    {
        "battery": "share of its battery left",
        "battery_pace": "log(share of the episode left / share of the battery left)",
        "battery_used": "share of its battery that the last round took, times L",
        "demand": "K times its expert's mean gate score over all hidden states of this round, less 1",
        "demand_mean": "the same over all rounds of the episode so far",
        "own_demand_mean": "its own hidden states' mean gate score for its own expert so far, less 1 / K",
        "harvest": "what arrived at its battery in this round over the mean, less 1",
        "harvest_pace": "log(what the rounds left take at an even pace / its energy and expected arrivals)",
        "computation": "its energy per hidden state over the mean node's, less 1",
        "sending": "log of the mean energy of its links to others, on their best subcarriers, over a link of gain 1",
        "receiving": "the same of others' links to it",
    }
)
GLOBAL_FEATURES = MappingProxyType(
    {
        "threshold": "as in `DMoE-JESA-v0`",
        "progress": "as in `DMoE-JESA-v0`",
        "budget_left": "as in `DMoE-JESA-v0`",
        "budget_pace": "log(relevance still missing per round left / the budget)",
    }
)
# Where deliveries are told: these of every node, then those of every link i -> j, row by row.
TOLD_FEATURES = MappingProxyType(
    {
        "blocked_demand": "mean over its hidden states of gate score times the probability that the link is blocked",
        "doubt": "mean over its links of 4 p (1 - p), p the probability that one is blocked",
    }
)
LINK_FEATURES = MappingProxyType(
    {
        "told": "1 delivered, -1 lost, 0 nothing sent in the last round",
        "outcomes": "the same summed over the rounds so far, each counting 0.8 of the one after it",
        "blocked": "probability that it is blocked, by the filter underneath; 0 under a scheduler without one",
    }
)
FADES = 0.8
LARGEST = 5.0  # features are clipped to it
LEAST = 1e-3  # shares below count as this under a logarithm


def feature_names(experts: int, acknowledged: bool = False) -> tuple[str, ...]:
    """The names of a vector's entries: "demand[3]" is of node 3, "told[0,3]" of link 0 -> 3."""
    names = tuple(f"{name}[{node}]" for name in NODE_FEATURES for node in range(experts)) + tuple(GLOBAL_FEATURES)
    if not acknowledged:
        return names
    links = [f"[{i},{j}]" for i in range(experts) for j in range(experts) if i != j]
    of_nodes = tuple(f"{name}[{node}]" for name in TOLD_FEATURES for node in range(experts))
    return names + of_nodes + tuple(name + link for name in LINK_FEATURES for link in links)


class Memory(NamedTuple):
    """What is remembered of the episode."""

    scores: np.ndarray  # (B, K, K) sums over rounds of node i's mean gate score for expert j
    rounds: np.ndarray  # (B,) that they are of
    battery: np.ndarray  # (B, K) as observed in the round before
    outcomes: np.ndarray  # (B, K, K) of every link, see `LINK_FEATURES`

    @classmethod
    def empty(cls, batch: int, experts: int) -> Self:
        """Of no episode."""
        links = (batch, experts, experts)
        return cls(np.zeros(links), np.zeros(batch), np.zeros((batch, experts)), np.zeros(links))


@serial_or_parallel
def write_features(rows, first, rounds, budget, has_battery, harvest, constants, batch, memory, features):
    """Bring the memory up to date with the present observation, and write the features of the environments in `rows`.

    Args:
        first: does an episode begin?
        rounds: L; budget: mean relevance asked for, NaN for none; has_battery: are there batteries?
        harvest: (B, K, 2), the two features of it; of no rows without a harvest.
        constants, batch, memory: `Constants`, `Batch`, `Memory`.
        features: (B, features) float32 output.
    """
    for position in prange(rows.shape[0]):
        _write(rows[position], first, rounds, budget, has_battery, harvest, constants, batch, memory, features)


@njit
def _write(row, first, rounds, budget, has_battery, harvest, constants, batch, memory, features):
    gate_scores, efficiency, out = batch.gate_scores[row], batch.efficiency[row], features[row]
    sums = memory.scores[row]
    experts, states, _ = gate_scores.shape
    subcarriers = efficiency.shape[2]
    if first:
        sums[:] = 0.0
        memory.rounds[row] = 0.0
        for node in range(experts):
            memory.battery[row, node] = np.float64(batch.battery[row, node])
    memory.rounds[row] += 1
    seen = memory.rounds[row]
    out[:] = 0.0
    left = (rounds - batch.layer[row] + 1) / rounds
    mean_computation = max(constants.computation.mean(), 1e-12)
    link_unit = (experts - 1) / np.log2(1 + constants.snr_per_gain)
    sending, receiving = np.zeros(experts), np.zeros(experts)
    for i in range(experts):
        for j in range(experts):
            mean = 0.0
            for n in range(states):
                mean += gate_scores[i, n, j]
            mean /= states
            sums[i, j] += mean
            out[3 * experts + j] += mean
            out[4 * experts + j] += sums[i, j] / seen
            if i == j:
                out[5 * experts + j] = sums[i, j] / seen - 1 / experts
                continue
            best = 0.0
            for m in range(subcarriers):
                best = max(best, efficiency[i, j, m])
            sending[i] += 1 / max(best, LEAST)
            receiving[j] += 1 / max(best, LEAST)
    for node in range(experts):
        if has_battery:
            share = np.float64(batch.battery[row, node])
            out[node] = share
            out[experts + node] = np.log(left / max(share, LEAST))
            out[2 * experts + node] = (memory.battery[row, node] - share) * rounds
            memory.battery[row, node] = share
        if harvest.shape[0] > 0:
            out[6 * experts + node] = harvest[row, node, 0]
            out[7 * experts + node] = harvest[row, node, 1]
        out[3 * experts + node] -= 1
        out[4 * experts + node] -= 1
        out[8 * experts + node] = constants.computation[node] / mean_computation - 1
        out[9 * experts + node] = np.log(sending[node] / link_unit)
        out[10 * experts + node] = np.log(receiving[node] / link_unit)
    at = 11 * experts
    out[at] = batch.threshold[row, 0]
    out[at + 1] = batch.progress[row, 0]
    if not np.isnan(budget):
        out[at + 2] = batch.budget_left[row, 0]
        out[at + 3] = np.log(max(batch.budget_left[row, 0] / (left * max(budget, LEAST)), LEAST))
    for index in range(out.shape[0]):
        out[index] = min(max(out[index], -LARGEST), LARGEST)


@serial_or_parallel
def write_link_features(rows, first, gate_scores, delivered, lost, blocked, outcomes, features):
    """Bring the outcomes up to date, and write the last features of a vector: `TOLD_FEATURES` and `LINK_FEATURES`.

    Args:
        first: does an episode begin?
        gate_scores: (B, K, N, K); delivered, lost, blocked, outcomes: (B, K, K); features: (B, features) output.
    """
    for position in prange(rows.shape[0]):
        row = rows[position]
        experts = blocked.shape[1]
        links = experts * (experts - 1)
        out = features[row, features.shape[1] - 2 * experts - 3 * links :]
        out[:] = 0.0
        if first:
            outcomes[row] = 0.0
        at = 2 * experts
        for i in range(experts):
            for j in range(experts):
                if i == j:
                    continue
                chance, told = blocked[row, i, j], delivered[row, i, j] - lost[row, i, j]
                outcomes[row, i, j] = FADES * outcomes[row, i, j] + told
                out[i] += gate_scores[row, i, :, j].mean() * chance
                out[experts + i] += 4 * chance * (1 - chance) / (experts - 1)
                out[at], out[at + links], out[at + 2 * links] = told, outcomes[row, i, j], chance
                at += 1

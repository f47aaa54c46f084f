"""The compiled formulas of one round's energy, relevance and cost.

Environments and solvers that charge a part of a round (a pick, a hidden state) put it together of the same pieces.
Energies are in units of E_ref / (K N D) (`DMoEConfig.energy_unit_j`), so one set of constants serves every solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dmoe_gym.compiled.njit import njit, njit_allocating, njit_no_refcount
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics.round import Round, Schedule, require_fit


class Constants(NamedTuple):
    """A DMoEConfig as numbers for compiled code."""

    transmission: float  # energy of one hidden state over a link of spectral efficiency 1 bit/s/Hz [unit]
    computation: np.ndarray  # (K,) energy per computed hidden state [unit]
    round_energy: float  # all nodes' constant energy of a round [unit]
    shortfall_price: float  # of one unit of one hidden state's shortfall [unit]: V D
    snr_per_gain: float  # P0 / N0
    max_experts: int
    slot_states: float  # hidden states per bit/s/Hz that a link delivers in the slot; infinite without a slot
    limited: bool  # is there a slot, a relevance budget or a battery?
    selection_price: float = np.inf  # of a unit of shortfall where solvers select; infinite for DES's hard threshold

    @classmethod
    def of(cls, config: DMoEConfig) -> Constants:
        """The constants of a configuration."""
        unit = config.energy_unit_j
        transmission = config.transmit_power_w * config.state_size_bit / config.subcarrier_bandwidth_hz
        return cls(
            transmission=transmission / unit,
            computation=config.computation_energy_j / unit,
            round_energy=config.num_experts * config.round_energy_j / unit,
            shortfall_price=config.shortfall_price * config.max_experts,
            snr_per_gain=config.mean_snr,
            max_experts=config.max_experts,
            slot_states=config.slot_states,
            limited=config.is_limited,
        )


@njit
def repriced(constants, computation, shortfall_price, selection_price):
    """The constants with other computation energies (K,), price of shortfall, and price of it where solvers select."""
    return Constants(
        transmission=constants.transmission,
        computation=computation,
        round_energy=constants.round_energy,
        shortfall_price=shortfall_price,
        snr_per_gain=constants.snr_per_gain,
        max_experts=constants.max_experts,
        slot_states=constants.slot_states,
        limited=constants.limited,
        selection_price=selection_price,
    )


@njit_no_refcount
def transmission_energy(payload, subcarriers, efficiency, constants):
    """Energy of hidden states over a link of so many subcarriers and of this summed efficiency [unit]."""
    return constants.transmission * payload * subcarriers / efficiency


@njit_no_refcount
def cost_of(communication, computation, shortfall, hidden_states, constants):
    """E / E_ref + V * mean(shortfall) of energies [unit] and a shortfall summed over hidden states, of so many."""
    return (communication + computation + constants.shortfall_price * shortfall) / (
        hidden_states * constants.max_experts
    )


@njit_no_refcount
def shortfall_cost(mean_shortfall, constants):
    """V * mean(shortfall), the part of `cost_of` that relevance missing over a round adds."""
    return constants.shortfall_price * mean_shortfall / constants.max_experts


@njit_no_refcount
def round_terms(gate_scores, selected, link_efficiency, link_subcarriers, threshold, constants, best):
    """Energy, relevance and cost of one round.

    Args:
        gate_scores, selected: (K, N, K).
        link_efficiency: (K, K) summed spectral efficiency of the link's subcarriers [bit/s/Hz].
        link_subcarriers: (K, K) number of them, None for one each; each transmits with P0.
        threshold: z gamma^l.
        constants: `Constants`.
        best: workspace (D,).

    Returns:
        communication [unit], computation [unit], mean relevance, mean shortfall, cost (docs/dmoe.md).
        Communication is infinite where a payload has no rate.
    """
    experts, states, _ = gate_scores.shape
    communication = 0.0
    computation = constants.round_energy
    relevance = 0.0
    shortfall = 0.0
    for i in range(experts):
        for j in range(experts):
            payload = 0
            for n in range(states):
                payload += selected[i, n, j]
            computation += constants.computation[j] * payload
            if payload > 0 and i != j:
                if link_efficiency[i, j] > 0:
                    count = 1 if link_subcarriers is None else link_subcarriers[i, j]
                    communication += transmission_energy(payload, count, link_efficiency[i, j], constants)
                else:
                    communication = np.inf
        for n in range(states):
            served = 0.0
            for j in range(experts):
                if selected[i, n, j]:
                    served += gate_scores[i, n, j]
            relevance += served
            if served < threshold:
                shortfall += max(0.0, attainable(gate_scores[i, n], threshold, best) - served)
    scale = experts * states
    cost = cost_of(communication, computation, shortfall, scale, constants)
    return communication, computation, relevance / scale, shortfall / scale, cost


@njit_allocating
def limited_terms(
    gate_scores, selected, link_efficiency, link_subcarriers, threshold, constants, owed, battery, served, spent
):
    """`round_terms` under a slot, a relevance budget and batteries (this project's choices), in this order.

    1. Slot: a link delivers its payload only if payload <= slot_states * efficiency. Otherwise it is in outage: it
       transmits for the whole slot, and its hidden states are neither computed nor count as relevance. A hidden
       state that loses all its experts so is served by its own node's expert, which needs no radio. Without a slot
       only a link of no rate at all is in outage; nobody answers its first symbol, and it spends nothing.
    2. Battery: a node uses what it transmits and what its expert computes. Where that is more than it has left, the
       node fails for this round: what it has left is gone, it delivers nothing, computes for nobody, and its own
       hidden states go unserved: their relevance is 0. Links to it have transmitted in vain.
    3. Budget: where `owed` is not negative the round's shortfall is what its mean relevance stays under `owed`,
       instead of the hidden states' shortfalls under their thresholds.

    So failing on purpose never pays: without the lost selections, and with the own expert where none is left, a
    schedule costs no more.

    Args:
        owed: mean relevance that this round must bring, negative for the threshold of every hidden state.
        battery: (K,) energy left [unit], infinite for no limit.
        served: (K, N, K) bool output, who served whom in the end.
        spent: (K,) output, energy that every node spent [unit].
        others: as in `round_terms`.

    Returns:
        communication [unit], computation [unit], mean relevance, mean shortfall, cost, number of links in outage.
    """
    experts, states, _ = gate_scores.shape
    lost = np.zeros((experts, experts), np.bool_)
    sent = np.zeros(experts)
    outages = 0
    for i in range(experts):
        for j in range(experts):
            payload = 0
            for n in range(states):
                served[i, n, j] = selected[i, n, j]
                payload += selected[i, n, j]
            if payload > 0 and i != j:
                count = 1 if link_subcarriers is None else link_subcarriers[i, j]
                if count == 0:
                    sent[i] = np.inf
                elif payload <= constants.slot_states * link_efficiency[i, j]:
                    sent[i] += transmission_energy(payload, count, link_efficiency[i, j], constants)
                else:
                    if constants.slot_states < np.inf:
                        sent[i] += constants.transmission * constants.slot_states * count
                    lost[i, j] = True
                    outages += 1
        for n in range(states):
            left = 0
            for j in range(experts):
                if lost[i, j]:
                    served[i, n, j] = False
                left += served[i, n, j]
            if left == 0:
                served[i, n, i] = True
    failed = np.zeros(experts, np.bool_)
    for j in range(experts):
        used = sent[j] + constants.round_energy / experts
        for i in range(experts):
            for n in range(states):
                if served[i, n, j]:
                    used += constants.computation[j]
        failed[j] = used > battery[j]
    communication = 0.0
    computation = 0.0
    for j in range(experts):
        computed = constants.round_energy / experts
        for i in range(experts):
            for n in range(states):
                if failed[i] or failed[j]:
                    served[i, n, j] = False
                if served[i, n, j]:
                    computed += constants.computation[j]
        if failed[j]:
            transmitted = min(sent[j], battery[j])
            computed = battery[j] - transmitted
        else:
            transmitted = sent[j]
        spent[j] = battery[j] if failed[j] else transmitted + computed
        communication += transmitted
        computation += computed
    relevance = 0.0
    shortfall = 0.0
    best = np.empty(constants.max_experts)
    for i in range(experts):
        for n in range(states):
            reached = 0.0
            for j in range(experts):
                if served[i, n, j]:
                    reached += gate_scores[i, n, j]
            relevance += reached
            shortfall += max(0.0, attainable(gate_scores[i, n], threshold, best) - reached)
    scale = experts * states
    if owed >= 0:
        shortfall = max(0.0, owed * scale - relevance)
    cost = cost_of(communication, computation, shortfall, scale, constants)
    return communication, computation, relevance / scale, shortfall / scale, cost, outages


@njit_no_refcount
def attainable(scores, threshold, best):
    """min(threshold, sum of the len(best) largest scores); `best` is a workspace."""
    limit = best.shape[0]
    if limit == 2:
        # the usual case; selections instead of branches, which could not be predicted here
        most = second = 0.0
        for score in scores:
            value = np.float64(score)
            second = max(second, min(most, value))
            most = max(most, value)
        return min(threshold, most + second)
    for slot in range(limit):
        best[slot] = 0.0
    for score in scores:
        if score > best[limit - 1]:
            slot = limit - 1
            while slot > 0 and best[slot - 1] < score:
                best[slot] = best[slot - 1]
                slot -= 1
            best[slot] = score
    total = 0.0
    for slot in range(limit):
        total += best[slot]
    return min(threshold, total)


@dataclass(frozen=True)
class Energy:
    """Energy of a round [J]."""

    communication: float
    computation: float

    @property
    def total(self) -> float:
        """Communication plus computation [J]."""
        return self.communication + self.computation


@dataclass(frozen=True)
class Terms:
    """Everything a round's cost is made of.

    Attributes:
        energy: by node and kind [J].
        relevance, shortfall: means over hidden states.
        cost: the scalar that schedulers minimise.
        outages: links that did not deliver in the slot.
    """

    energy: Energy
    relevance: float
    shortfall: float
    cost: float
    outages: int = 0


def terms(round: Round, schedule: Schedule) -> Terms:
    """Energy, relevance, shortfall and cost of a schedule.

    Energy and cost are infinite where a link with payload has no subcarrier, or no rate although all is known.
    Slot, relevance budget and battery are as `physics.terms.limited_terms` says.

    Raises:
        ValueError: if the schedule's size is not the round's.
    """
    require_fit(round, schedule)
    constants = Constants.of(round.config)
    unit = round.config.energy_unit_j
    arguments = (
        round.gate_scores,
        schedule.selected,
        round.link_efficiency(schedule.allocated),
        schedule.allocated.sum(-1),
        round.threshold,
        constants,
    )
    communication = computation = relevance = shortfall = cost = np.inf
    outages = 0
    limited = constants.limited or round.battery is not None or round.relevance_owed is not None
    if not limited:
        communication, computation, relevance, shortfall, cost = round_terms(
            *arguments, np.empty(constants.max_experts)
        )
    if limited or (communication == np.inf and not round.config.csi.is_perfect):
        experts = round.config.num_experts
        battery = np.full(experts, np.inf) if round.battery is None else round.battery / unit
        owed = -1.0 if round.relevance_owed is None else round.relevance_owed
        served = np.empty(round.gate_scores.shape, np.bool_)
        communication, computation, relevance, shortfall, cost, outages = limited_terms(
            *arguments, owed, battery, served, np.empty(experts)
        )
    return Terms(Energy(communication * unit, computation * unit), relevance, shortfall, cost, outages)


def energy(round: Round, schedule: Schedule) -> Energy:
    """Energy of a round's transmission and computation [J]; see `terms`."""
    return terms(round, schedule).energy


def cost(round: Round, schedule: Schedule) -> float:
    """E / E_ref + V * mean(shortfall), the one scalar that every scheduler minimises; see `terms`."""
    return terms(round, schedule).cost

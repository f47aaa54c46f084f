"""The DMoE system once more, from docs/dmoe.md alone and by enumeration: slow, plain, sharing no formula."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product

import numpy as np

from dmoe_gym.dmoe import DMoEConfig, Round, Schedule


@dataclass(frozen=True)
class Physics:
    """A configuration's physical constants, computed here."""

    noise_w: float
    computation_j: np.ndarray  # (K,) a
    reference_j: float  # E_ref

    @classmethod
    def of(cls, config: DMoEConfig) -> Physics:
        """N0 from the mean SNR at gain 1; a linear over the nodes in units of a mean link's energy; E_ref."""
        snr = 10 ** (config.mean_snr_db / 10)
        mean_rate = config.subcarrier_bandwidth_hz * np.log2(1 + snr)
        mean_link = config.transmit_power_w * config.state_size_bit / mean_rate
        first, last = config.computation_energy_range
        steps = np.arange(config.num_experts) / (config.num_experts - 1)
        computation = mean_link * (first + (last - first) * steps)
        served = config.num_experts * config.num_states * config.max_experts
        return cls(config.transmit_power_w / snr, computation, served * (mean_link + computation.mean()))


def rate(round: Round, i: int, j: int, m: int) -> float:
    """Bit/s of link i -> j on subcarrier m."""
    config = round.config
    snr = config.transmit_power_w * round.gains[i, j, m] / Physics.of(config).noise_w
    return config.subcarrier_bandwidth_hz * np.log2(1 + snr)


def link_energy(round: Round, i: int, j: int, subcarriers: tuple[int, ...]) -> float:
    """J for one hidden state from node i to expert j over these subcarriers together, without computation."""
    if i == j:
        return 0.0
    joules = 0.0
    for sender, receiver in ((i, j), (j, i)) if round.config.return_transmission else ((i, j),):
        total_rate = sum(rate(round, sender, receiver, m) for m in subcarriers)
        if total_rate == 0:
            return np.inf
        joules += round.config.transmit_power_w * len(subcarriers) * round.config.state_size_bit / total_rate
    return joules


def attainable_threshold(round: Round, i: int, n: int) -> float:
    """z gamma^l, or what the D best scores sum to where that is less."""
    best = sorted(round.gate_scores[i, n], reverse=True)[: round.config.max_experts]
    return min(round.threshold, sum(best))


def round_terms(round: Round, schedule: Schedule) -> dict[str, float]:
    """Energies [J], mean relevance, mean shortfall and cost, link by link and hidden state by hidden state."""
    config, physics = round.config, Physics.of(round.config)
    nodes, states = range(config.num_experts), range(config.num_states)
    communication = 0.0
    computation = config.num_experts * config.round_energy_j
    for i, j in product(nodes, nodes):
        payload_states = sum(bool(schedule.selected[i, n, j]) for n in states)
        computation += physics.computation_j[j] * payload_states
        if payload_states:
            subcarriers = tuple(np.flatnonzero(schedule.allocated[i, j]))
            communication += payload_states * link_energy(round, i, j, subcarriers)
    relevance, shortfall = [], []
    for i, n in product(nodes, states):
        served = sum(round.gate_scores[i, n, j] for j in nodes if schedule.selected[i, n, j])
        relevance.append(served)
        shortfall.append(max(0.0, attainable_threshold(round, i, n) - served))
    mean_shortfall = sum(shortfall) / len(shortfall)
    return {
        "communication": communication,
        "computation": computation,
        "relevance": sum(relevance) / len(relevance),
        "shortfall": mean_shortfall,
        "cost": (communication + computation) / physics.reference_j + config.shortfall_price * mean_shortfall,
    }


@lru_cache
def expert_sets(experts: int, limit: int) -> np.ndarray:
    """(S, K) bool: every set of 1 to `limit` experts."""
    members = [chosen for size in range(1, limit + 1) for chosen in combinations(range(experts), size)]
    sets = np.zeros((len(members), experts), bool)
    for row, chosen in enumerate(members):
        sets[row, list(chosen)] = True
    sets.setflags(write=False)
    return sets


def least_selection_cost(
    scores: np.ndarray, energies: np.ndarray, threshold: float, limit: int, price: float, tolerance: float = 0.0
) -> float:
    """The least cost of one hidden state by enumerating every set of experts; infinite if none is in reach.

    With an infinite price the threshold, or what the best set in reach attains if that is less, must be met within
    the tolerance; with a finite one the shortfall costs `price` per unit.
    """
    sets = expert_sets(len(scores), limit)
    sets = sets[~(sets & np.isinf(energies)).any(-1)]
    if not len(sets):
        return np.inf
    energy = np.where(sets, np.where(np.isinf(energies), 0, energies), 0).sum(-1)
    relevance = (sets * scores).sum(-1)
    if np.isinf(price):
        return float(energy[relevance >= min(threshold, relevance.max()) - tolerance].min())
    return float((energy + price * np.maximum(0, threshold - relevance)).min())


def allocations(config: DMoEConfig, *, several: bool) -> list[dict[tuple[int, int], tuple[int, ...]]]:
    """Every way to hand subcarriers to links (C3), as link -> its subcarriers; one per link, or `several`."""
    nodes = range(config.num_experts)
    links = [(i, j) for i, j in product(nodes, nodes) if i != j]
    found = []
    for owners in product([None, *links], repeat=config.num_subcarriers):
        held: dict[tuple[int, int], tuple[int, ...]] = {}
        for m, link in enumerate(owners):
            if link is not None:
                held[link] = (*held.get(link, ()), m)
        if several or all(len(subcarriers) == 1 for subcarriers in held.values()):
            found.append(held)
    return found


def optimal_cost(round: Round, *, several: bool = False) -> float:
    """The least cost of any schedule, by enumerating allocations and, in each, every hidden state's expert sets.

    For a fixed allocation a link's energy is proportional to its payload, so hidden states do not interact and each
    can be enumerated on its own.
    """
    config, physics = round.config, Physics.of(round.config)
    nodes = range(config.num_experts)
    scale = config.num_experts * config.num_states
    price = config.shortfall_price * physics.reference_j / scale  # J per unit of one hidden state's shortfall
    best = np.inf
    for held in allocations(config, several=several):
        total = config.num_experts * config.round_energy_j
        for i in nodes:
            energies = np.array(
                [link_energy(round, i, j, held.get((i, j), ())) + physics.computation_j[j] for j in nodes]
            )
            for n in range(config.num_states):
                target = attainable_threshold(round, i, n)
                total += least_selection_cost(round.gate_scores[i, n], energies, target, config.max_experts, price)
        best = min(best, total / physics.reference_j)
    return best


def every_schedule(config: DMoEConfig, *, several: bool) -> list[Schedule]:
    """All schedules that meet C2 and C3, whatever else they violate."""
    experts, states = config.num_experts, config.num_states
    sets = expert_sets(experts, config.max_experts)
    found = []
    for choice in product(range(len(sets)), repeat=experts * states):
        selected = sets[list(choice)].reshape(experts, states, experts)
        for held in allocations(config, several=several):
            allocated = np.zeros((experts, experts, config.num_subcarriers), bool)
            for (i, j), subcarriers in held.items():
                allocated[i, j, list(subcarriers)] = True
            found.append(Schedule(selected, allocated))
    return found

"""The feasibility check of a schedule: plain NumPy that shares nothing with solvers, masks or repairs."""

from __future__ import annotations

import numpy as np

from dmoe_gym.dmoe.physics.round import Round, Schedule, require_fit

_ROUNDING = 1e-6
# Decisions are made on spectral efficiencies of 32 bit: 1 + SNR and its logarithm are off by up to this [bit/s/Hz], and
# by this share of themselves.
_EFFICIENCY_ERROR = 4e-7


def check(round: Round, schedule: Schedule) -> list[str]:
    """Every violated constraint of docs/dmoe.md in words; an empty list for a feasible schedule.

    C1 as checked here is the priced form that every scheduler minimises: a hidden state may miss its attainable
    threshold only where curing the shortfall is impossible or dearer than its price V. It is violated where one
    more expert, or one expert in place of another, over the link's own subcarriers or over one that is still free,
    would lower the round's cost by reducing the shortfall. Where V forbids shortfall and subcarriers suffice this
    is the hard constraint sum_j selected gate_scores >= min(z gamma^l, best D). Where the configuration does not
    enforce the threshold (`DMoEConfig.enforces_threshold`), shortfall is priced and C1 cannot be violated.

    A decision is to be judged by the round as it was observed: outages are bad luck, not violations.

    Raises:
        ValueError: if the schedule's size is not the round's.
    """
    require_fit(round, schedule)
    return [
        *_experts_per_state(round, schedule),
        *_subcarriers(schedule),
        *_relevance(round, schedule),
    ]


def _experts_per_state(round: Round, schedule: Schedule) -> list[str]:
    counts = schedule.selected.sum(-1)
    limit = round.config.max_experts
    return [
        f"C2: hidden state {n} of node {i} is served by {counts[i, n]} experts, valid are 1 to {limit}"
        for i, n in np.argwhere((counts < 1) | (counts > limit))
    ]


def _subcarriers(schedule: Schedule) -> list[str]:
    users = schedule.allocated.sum((0, 1))
    violations = [
        f"C3: subcarrier {m} serves {users[m]} links, valid is at most one" for (m,) in np.argwhere(users > 1)
    ]
    silent = (schedule.payload_states > 0) & ~schedule.allocated.any(-1)
    np.fill_diagonal(silent, False)
    violations += [
        f"C4: link {i} -> {j} carries {schedule.payload_states[i, j]} hidden states but has no subcarrier"
        for i, j in np.argwhere(silent)
    ]
    return violations


def _relevance(round: Round, schedule: Schedule) -> list[str]:
    config = round.config
    if not config.enforces_threshold:
        return []
    relevance = (round.gate_scores * schedule.selected).sum(-1)
    shortfall = np.maximum(0, round.attainable_threshold - relevance)
    short = np.argwhere(shortfall > _ROUNDING)
    if not len(short):
        return []
    # joules that one unit of one hidden state's shortfall is worth
    price = config.shortfall_price * config.reference_energy_j / shortfall.size
    dearest, cheapest = _energies_per_state(round, schedule)
    violations = []
    for i, n in short:
        cure = _best_cure(round, schedule, dearest[i], cheapest[i], int(i), int(n), price)
        if cure is not None:
            violations.append(
                f"C1: hidden state {n} of node {i} has relevance {relevance[i, n]:.6g}, "
                f"{shortfall[i, n]:.6g} short of its attainable threshold, although {cure} would cost less"
            )
    return violations


def _energies_per_state(round: Round, schedule: Schedule) -> tuple[np.ndarray, np.ndarray]:
    """What one hidden state of node i costs at expert j over the link's subcarriers or the best free, (K, K) [J].

    The most and the least that what was observed in 32 bit may have made it seem; infinite out of reach.
    """
    config = round.config
    free = ~schedule.allocated.any((0, 1))
    own_count = schedule.allocated.sum(-1)
    own = round.link_efficiency(schedule.allocated)
    efficiency = np.where(own_count > 0, own, np.where(free, round.spectral_efficiency, 0).max(-1))
    count = np.maximum(own_count, 1)
    error = _EFFICIENCY_ERROR * (count + efficiency)
    transmission = config.transmit_power_w * config.state_size_bit * count / config.subcarrier_bandwidth_hz
    energies = []
    for seen in (efficiency - error, efficiency + error):
        joules = np.divide(transmission, seen, out=np.full(seen.shape, np.inf), where=seen > 0)
        np.fill_diagonal(joules, 0)
        energies.append(joules + config.computation_energy_j)
    return energies[0], energies[1]


def _best_cure(
    round: Round, schedule: Schedule, dearest: np.ndarray, cheapest: np.ndarray, i: int, n: int, price: float
) -> str | None:
    """The change of one expert that lowers the cost most by raising relevance, in words; None if there is none."""
    scores, chosen = round.gate_scores[i, n], schedule.selected[i, n]
    target = round.attainable_threshold[i, n]
    missing = max(0.0, target - scores[chosen].sum())
    leavers: list[int | None] = list(np.flatnonzero(chosen))
    if chosen.sum() < round.config.max_experts:
        leavers.append(None)
    best_saving, words = _ROUNDING * round.config.energy_unit_j, None
    for joiner in np.flatnonzero(~chosen & np.isfinite(dearest)):
        for leaver in leavers:
            left_score, left_energy = (0.0, 0.0) if leaver is None else (scores[leaver], cheapest[leaver])
            gained = missing - max(0.0, target - scores[chosen].sum() - scores[joiner] + left_score)
            saving = price * gained - (dearest[joiner] - left_energy)
            if gained > _ROUNDING and saving > best_saving:
                best_saving = saving
                words = f"adding expert {joiner}" + ("" if leaver is None else f" in place of {leaver}")
    return words

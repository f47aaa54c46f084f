"""What a batch of environments holds, how its rounds begin, and what a complete schedule costs, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from dmoe_gym.compiled.draws import fill_exponentials, fill_integers
from dmoe_gym.compiled.njit import njit, njit_no_refcount, serial_or_parallel
from dmoe_gym.compiled.pcg64 import gammas_as_known
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Round
from dmoe_gym.dmoe.physics.round import TINY_SNR
from dmoe_gym.dmoe.physics.terms import limited_terms, round_terms
from dmoe_gym.relevance.process import DirichletConfig, draw_scores

_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_EXPONENT_ONE = np.int32(0x3F800000)
_MANTISSA = np.int32(0x007FFFFF)
# log2((1 + s) / (1 - s)) = 2 / ln 2 * (s + s^3/3 + s^5/5 + ...); |s| < 0.172, so five terms reach 32-bit precision
_C1, _C3, _C5, _C7, _C9 = (np.float32(2 / np.log(2) / power) for power in (1, 3, 5, 7, 9))


# numba widens 32-bit whole numbers unless told otherwise, which keeps the compiler from vector code, seven times faster
# here
_int32 = np.int32


@njit_no_refcount
def _write_flat(gains, snr, efficiency):
    """efficiency <- log2(1 + snr * gains), all 32-bit and one-dimensional.

    Plain arithmetic, which every machine rounds alike; the library's log2 is slower and differs between processors.
    """
    for index in range(efficiency.shape[0]):
        bits = np.float32(np.float32(1) + snr * gains[index]).view(np.int32)
        shifted = _int32(bits - _SQRT_HALF_BITS)
        exponent = np.float32(_int32(shifted >> _int32(23)))
        mantissa = _int32(_int32(shifted & _MANTISSA) + _SQRT_HALF_BITS).view(np.float32)
        s = (mantissa - np.float32(1)) / (mantissa + np.float32(1))
        square = s * s
        efficiency[index] = exponent + s * (_C1 + square * (_C3 + square * (_C5 + square * (_C7 + square * _C9))))


@njit_no_refcount
def write_efficiency(gains, snr, efficiency):
    """efficiency <- log2(1 + snr * gains) [bit/s/Hz] with a zero diagonal.

    Args:
        gains, efficiency: (K, K, M) float32, C-contiguous.
        snr: signal-to-noise ratio at gain 1, float32.
    """
    _write_flat(gains.reshape(gains.size), snr, efficiency.reshape(efficiency.size))
    for node in range(efficiency.shape[0]):
        for m in range(efficiency.shape[2]):
            efficiency[node, node, m] = 0


# What an episode's limits leave, one column each, followed by every node's battery [E_ref / (K N D)].
GATHERED, OWED, BATTERY = 0, 1, 2


class Rules(NamedTuple):
    """A configuration as far as the beginning of a round needs it beside `Constants`."""

    thresholds: np.ndarray  # (L + 1,) float32, by layer from 0; 32 bit, so that schedulers see what the cost is made of
    concentration: float  # of Dirichlet gate scores, 0 for other sources
    domain_bonus: float
    gammas_known: bool  # see `draws.fill_gammas`
    budget: float  # mean relevance asked for over the episode, NaN for none
    full_battery: float  # [E_ref / (K N D)], infinite for none
    battery_share: float  # one over it
    energy_unit: float  # E_ref / (K N D) [J]
    enforced: bool  # does the environment cure shortfalls that are dearer than their cure?

    @classmethod
    def of(cls, config: DMoEConfig) -> Rules:
        """The rules of a configuration."""
        source, battery, unit = config.relevance, config.battery_j, config.energy_unit_j
        dirichlet = (source.concentration, source.domain_bonus) if isinstance(source, DirichletConfig) else (0.0, 0.0)
        return cls(
            np.array([config.threshold_of_layer(layer) for layer in range(config.num_layers + 1)], np.float32),
            *dirichlet,
            gammas_known=gammas_as_known(),
            budget=np.nan if config.relevance_budget is None else config.relevance_budget,
            full_battery=np.inf if battery is None else battery / unit,
            battery_share=0.0 if battery is None else unit / battery,
            energy_unit=unit,
            enforced=config.enforces_threshold,
        )


class Batch(NamedTuple):
    """The arrays of a `DMoECore` and its processes, the environments along their first axis."""

    addresses: np.ndarray  # of the generators' states
    layer: np.ndarray
    progress: np.ndarray  # (B, 1) float32
    terminated: np.ndarray
    gains: np.ndarray  # (B, K, K, M) float32
    observed_gains: np.ndarray
    efficiency: np.ndarray  # (B, K, K, M) float32, of the observed gains
    domains: np.ndarray  # (B, K)
    gate_scores: np.ndarray  # (B, K, N, K) float32
    threshold: np.ndarray  # (B, 1) float32
    budget_left: np.ndarray  # (B, 1) float32
    battery: np.ndarray  # (B, K) float32
    selected: np.ndarray  # (B, K, N, K) bool
    subcarrier: np.ndarray  # (B, K, K), -1 for none
    account: np.ndarray  # (B, 2 + K), see `charge.charge_served`
    terms: np.ndarray  # (B, terms)
    rewards: np.ndarray


def round_of(
    config: DMoEConfig,
    gate_scores: np.ndarray,
    gains: np.ndarray,
    threshold: float,
    account: np.ndarray,
    harvested: np.ndarray | None = None,
    **known: np.ndarray,
) -> Round:
    """One environment's round from its arrays.

    Args:
        gate_scores: (K, N, K); gains: (K, K, M); account: (2 + K,), see `charge.charge_served`;
            harvested: (K,) [E_ref / (K N D)].
        known: further fields of the round.
    """
    return Round(
        gate_scores,
        gains,
        threshold,
        config,
        battery=None if config.battery_j is None else account[BATTERY:] * config.energy_unit_j,
        relevance_owed=None if config.relevance_budget is None else float(account[OWED]),
        harvested=None if harvested is None else harvested * config.energy_unit_j,
        **known,
    )


class Workspace(NamedTuple):
    """Arrays that repairing and charging one round need beside its arguments."""

    wishes: np.ndarray  # (K, K)
    taken: np.ndarray  # (M,) bool
    holder: np.ndarray  # (M,) links, see `link_of`
    waiting: np.ndarray  # (K * K,) links
    best: np.ndarray  # (D,)
    energies: np.ndarray  # (K,)
    link_efficiency: np.ndarray  # (K, K)
    served: np.ndarray  # (K, N, K) bool


@njit
def new_workspace(constants, batch):
    """A `Workspace` for a `Batch`'s rounds; what it holds at first does not matter."""
    _, experts, states, _ = batch.gate_scores.shape
    subcarriers, limit = batch.gains.shape[3], constants.max_experts
    return Workspace(
        np.empty((experts, experts), np.int64),
        np.empty(subcarriers, np.bool_),
        np.empty(subcarriers, np.int64),
        np.empty(experts * experts, np.int64),
        np.empty(limit),
        np.empty(experts),
        np.empty((experts, experts)),
        np.empty((experts, states, experts), np.bool_),
    )


# Rounds that are only observed in about the time that one round takes to be drawn and observed.
OBSERVED_PER_DRAWN = 8


@serial_or_parallel
def observe_rounds(rows, first, gains, scores, constants, rules, batch):
    """`observe_round` in the environments in `rows`."""
    for position in prange(rows.shape[0]):
        observe_round(rows[position], first, gains, scores, constants, rules, batch)


@njit_no_refcount(forceinline=True)
def next_round(row, last, scores, constants, rules, batch):
    """Begin the next round, drawing gains and, if asked for, gate `scores`; terminate where this one is the last."""
    if batch.layer[row] == last:
        batch.terminated[row] = True
    else:
        batch.layer[row] += 1
        batch.progress[row, 0] = batch.layer[row] / last
        observe_round(row, False, True, scores, constants, rules, batch)


@njit_no_refcount(forceinline=True)
def observe_round(row, first, gains, scores, constants, rules, batch):
    """Begin a round: draw what is not drawn yet, and write what is observed of it.

    Args:
        first: does an episode begin with it?
        gains, scores: are the gains to be drawn here, Rayleigh, and after them the gate scores, Dirichlet?
        constants, rules, batch: `Constants`, `Rules`, `Batch`.
    """
    address = batch.addresses[row]
    if gains:
        fill_exponentials(address, batch.gains[row])
    if scores:
        gate_scores, domains = batch.gate_scores[row], batch.domains[row]
        if first:
            fill_integers(address, gate_scores.shape[2], domains)
        draw_scores(address, rules.concentration, rules.domain_bonus, rules.gammas_known, domains, gate_scores)
    write_efficiency(batch.observed_gains[row], np.float32(constants.snr_per_gain), batch.efficiency[row])
    _begin_limits(row, first, rules, batch)


@serial_or_parallel
def begin_limits(rows, first, rules, batch):
    """What the limits leave at the beginning of a round that is drawn already, in the environments in `rows`."""
    for position in prange(rows.shape[0]):
        _begin_limits(rows[position], first, rules, batch)


@njit_no_refcount(forceinline=True)
def _begin_limits(row, first, rules, batch):
    account = batch.account[row]
    if first:
        account[GATHERED] = 0.0
        for node in range(batch.battery.shape[1]):
            account[BATTERY + node] = rules.full_battery
    layer = batch.layer[row]
    batch.threshold[row, 0] = rules.thresholds[layer]
    _write_limits(layer, rules, account, batch.budget_left[row], batch.battery[row])


@njit_no_refcount
def _write_limits(layer, rules, account, budget_left, battery):
    """What is left of the relevance budget (1,) and of every battery (K,) [its share], and what this round owes.

    Args:
        account: see `charge.charge_served`; what this round owes of the budget is written.
    """
    last = rules.thresholds.shape[0] - 1
    account[OWED] = -1.0
    if not np.isnan(rules.budget):
        missing = max(0.0, last * rules.budget - account[GATHERED])
        account[OWED] = missing if layer == last else 0.0
        budget_left[0] = missing / last
    if rules.battery_share > 0:
        for node in range(battery.shape[0]):
            battery[node] = account[BATTERY + node] * rules.battery_share


LN2 = float(np.log(2))


@njit_no_refcount(forceinline=True)
def write_link_efficiency(gains, subcarrier, constants, link_efficiency):
    """link_efficiency (K, K) <- that of every link's subcarrier (K, K), -1 for none, under the true gains."""
    experts = subcarrier.shape[0]
    for i in range(experts):
        for j in range(experts):
            m = subcarrier[i, j]
            snr = constants.snr_per_gain * gains[i, j, m] if m >= 0 else 0.0
            link_efficiency[i, j] = np.log2(1 + snr) if snr > TINY_SNR else snr / LN2


@njit_no_refcount(forceinline=True)
def charge(row, repairs, constants, rules, batch, workspace):
    """`charge_served` where nobody asks who was served."""
    return charge_served(row, repairs, constants, rules, batch, workspace.served, workspace)


@njit_no_refcount(forceinline=True)
def charge_served(row, repairs, constants, rules, batch, served, workspace):
    """The terms of a complete schedule under the true gains, in the order of `base.TERMS`; return the cost.

    The rates are computed in 64 bit from the gains, as `physics.cost` does, not from what schedulers see.

    Args:
        row: whose schedule is charged; repairs: what it took.
        constants, rules, batch: `Constants`, `Rules`, `Batch`. Its account (2 + K,) is the mean relevance gathered
            before this round, the mean relevance owed by it (negative for the threshold), batteries; relevance and
            batteries are brought up to date.
        served: (K, N, K) bool output, who served whom in the end: what was selected, less what outages took.
        workspace: `Workspace`.
    """
    gate_scores, gains, threshold = batch.gate_scores[row], batch.gains[row], np.float64(batch.threshold[row, 0])
    selected, subcarrier = batch.selected[row], batch.subcarrier[row]
    account, terms = batch.account[row], batch.terms[row]
    experts = subcarrier.shape[0]
    link_efficiency = workspace.link_efficiency
    write_link_efficiency(gains, subcarrier, constants, link_efficiency)
    communication = computation = relevance = shortfall = cost = np.inf
    outages = 0
    if not constants.limited:
        for i in range(experts):
            for n in range(selected.shape[1]):
                for j in range(experts):
                    served[i, n, j] = selected[i, n, j]
        communication, computation, relevance, shortfall, cost = round_terms(
            gate_scores, selected, link_efficiency, None, threshold, constants, workspace.best
        )
    if communication == np.inf:  # or a link has no rate, which stale knowledge did not say
        spent = workspace.energies
        communication, computation, relevance, shortfall, cost, outages = limited_terms(
            gate_scores, selected, link_efficiency, None, threshold, constants,
            account[OWED], account[BATTERY:], served, spent,
        )  # fmt: skip
        account[GATHERED] += relevance
        for j in range(experts):
            account[BATTERY + j] -= spent[j]
    terms[0] = cost
    terms[1] = communication * rules.energy_unit
    terms[2] = computation * rules.energy_unit
    terms[3] = relevance
    terms[4] = shortfall
    terms[5] = repairs
    terms[6] = outages
    return cost


@serial_or_parallel
def acknowledge(rows, first, constants, batch, delivered, lost):
    """Write which links of the round that is still held delivered, and which were lost; nothing where one begins.

    Args:
        first: does an episode begin?
        constants, batch: `Constants`, `Batch`, its gains still those of the round that was decided.
        delivered, lost: (B, K, K) float32 outputs, both 0 where nothing was sent.
    """
    for position in prange(rows.shape[0]):
        row = rows[position]
        delivered[row] = 0.0
        lost[row] = 0.0
        if not first:
            _acknowledge(
                batch.selected[row], batch.subcarrier[row], batch.gains[row], constants, delivered[row], lost[row]
            )


@njit
def _acknowledge(selected, subcarrier, gains, constants, delivered, lost):
    experts, states, _ = selected.shape
    users = np.zeros(gains.shape[2], np.int64)
    payload = np.zeros((experts, experts), np.int64)
    for i in range(experts):
        for j in range(experts):
            if i == j or subcarrier[i, j] < 0:
                continue
            for n in range(states):
                payload[i, j] += selected[i, n, j]
            users[subcarrier[i, j]] += payload[i, j] > 0
    for i in range(experts):
        for j in range(experts):
            if payload[i, j] == 0:
                continue
            m = subcarrier[i, j]
            efficiency = np.log2(1 + constants.snr_per_gain * gains[i, j, m])
            # nodes that schedule for themselves may collide
            if payload[i, j] <= constants.slot_states * efficiency and users[m] == 1:
                delivered[i, j] = 1.0
            else:
                lost[i, j] = 1.0

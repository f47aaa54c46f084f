"""The beginning of a round, compiled in one pass over the batch: its random numbers, and what is observed of it."""

from __future__ import annotations

import numpy as np
from numba import prange

from dmoe_gym.compiled.draws import fill_exponentials, fill_integers
from dmoe_gym.compiled.njit import njit_no_refcount
from dmoe_gym.compiled.threads import serial_or_parallel
from dmoe_gym.dmoe.env.batch import BATTERY, GATHERED, OWED
from dmoe_gym.dmoe.env.efficiency import write_efficiency
from dmoe_gym.relevance.dirichlet import draw_scores

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

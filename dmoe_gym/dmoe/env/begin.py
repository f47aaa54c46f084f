"""The beginning of a round, compiled in one pass over the batch: its random numbers, and what is observed of it."""

from __future__ import annotations

import numpy as np
from numba import prange

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.env.efficiency import write_efficiency
from dmoe_gym.dmoe.env.settle import BATTERY, GATHERED, OWED
from dmoe_gym.draws import fill_exponentials, fill_integers
from dmoe_gym.leaf import leaf
from dmoe_gym.relevance.dirichlet import DirichletConfig, draw_scores
from dmoe_gym.threads import serial_or_parallel

# Rounds that are only observed in about the time that one round takes to be drawn and observed.
OBSERVED_PER_DRAWN = 8


def parameters(config: DMoEConfig) -> tuple[float, ...]:
    """What `begin_rounds` has to know of a configuration.

    Returns:
        concentration and domain bonus of Dirichlet gate scores (0 for other sources); P0 / N0; mean relevance asked
        for over the episode, NaN for none; energy of a full battery [E_ref / (K N D)], infinite for none, and one
        over it.
    """
    source, battery = config.relevance, config.battery_j
    dirichlet = (source.concentration, source.domain_bonus) if isinstance(source, DirichletConfig) else (0.0, 0.0)
    return (
        *dirichlet,
        config.mean_snr,
        np.nan if config.relevance_budget is None else config.relevance_budget,
        np.inf if battery is None else battery / config.energy_unit_j,
        0.0 if battery is None else config.energy_unit_j / battery,
    )


@serial_or_parallel
def begin_rounds(
    rows, first, drawn, addresses, layer, thresholds,
    concentration, domain_bonus, snr_per_gain, budget, full_battery, battery_share,
    gains, domains, gate_scores, observed_gains, efficiency, threshold, account, budget_left, battery,
):  # fmt: skip
    """Begin a round in the environments in `rows`: draw it, unless that is done, and write what is observed of it.

    Args:
        first: does an episode begin with it?
        drawn: are gains and gate scores there already? If not, they are drawn here, Rayleigh and Dirichlet.
        addresses: (batch,) of the generators' states.
        layer: (batch,) the round's number; thresholds: (L + 1,) by layer.
        concentration to battery_share: `parameters`.
        others: the core's and its processes' arrays, written.
    """
    for position in prange(rows.shape[0]):
        _begin_round(
            rows[position], first, drawn, addresses, layer, thresholds,
            concentration, domain_bonus, snr_per_gain, budget, full_battery, battery_share,
            gains, domains, gate_scores, observed_gains, efficiency, threshold, account, budget_left, battery,
        )  # fmt: skip


@leaf
def _begin_round(
    row, first, drawn, addresses, layer, thresholds,
    concentration, domain_bonus, snr_per_gain, budget, full_battery, battery_share,
    gains, domains, gate_scores, observed_gains, efficiency, threshold, account, budget_left, battery,
):  # fmt: skip
    """`begin_rounds` for one environment."""
    if not drawn:
        fill_exponentials(addresses[row], gains[row])
        if first:
            fill_integers(addresses[row], gate_scores.shape[3], domains[row])
        draw_scores(addresses[row], np.float32(concentration), np.float32(domain_bonus), domains[row], gate_scores[row])
    write_efficiency(observed_gains[row], np.float32(snr_per_gain), efficiency[row])
    if first:
        account[row, GATHERED] = 0.0
        for node in range(battery.shape[1]):
            account[row, BATTERY + node] = full_battery
    threshold[row, 0] = thresholds[layer[row]]
    _write_limits(layer[row], len(thresholds) - 1, budget, battery_share, account[row], budget_left[row], battery[row])


@leaf
def _write_limits(layer, last, budget, battery_share, account, budget_left, battery):
    """What is left of the relevance budget (1,) and of every battery (K,) [its share], and what this round owes.

    Args:
        account: see `settle.charge_served`; what this round owes of the budget is written.
    """
    account[OWED] = -1.0
    if not np.isnan(budget):
        missing = max(0.0, last * budget - account[GATHERED])
        account[OWED] = missing if layer == last else 0.0
        budget_left[0] = missing / last
    if battery_share > 0:
        for node in range(battery.shape[0]):
            battery[node] = account[BATTERY + node] * battery_share

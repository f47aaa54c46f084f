"""A lower bound on the cost of every schedule: all links on their best subcarriers, exclusivity dropped."""

from __future__ import annotations

import numpy as np

from dmoe_gym.dmoe.physics import Constants, Round
from dmoe_gym.dmoe.solvers.des import solve_des


def relaxed_selection(round: Round) -> tuple[np.ndarray, float]:
    """The selection of least cost if every link had its best subcarrier to itself, and that cost.

    Each hidden state minimises energy plus priced shortfall on its own, exactly.

    Returns:
        selected (K, N, K) bool; cost, a lower bound on every schedule's (DESIGN section 3).
    """
    config = round.config
    constants = Constants.of(config)
    with np.errstate(divide="ignore"):
        energies = constants.transmission / round.spectral_efficiency.max(-1)
    np.fill_diagonal(energies, 0.0)
    energies = np.broadcast_to((energies + constants.computation)[:, None, :], round.gate_scores.shape)
    target = round.attainable_threshold
    selected = solve_des(
        round.gate_scores, energies, target, config.max_experts, shortfall_price=constants.shortfall_price
    )
    shortfall = np.maximum(0, target - (round.gate_scores * selected).sum(-1))
    total = energies[selected].sum() + constants.round_energy + constants.shortfall_price * shortfall.sum()
    return selected, float(total / (shortfall.size * config.max_experts))


def lower_bound(round: Round) -> float:
    """A cost that no schedule of the round undercuts; attained where the best subcarriers it uses are distinct."""
    return relaxed_selection(round)[1]

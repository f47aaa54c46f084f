"""Bounds of a DMoE round: they see the true channel, and are no policies."""

from __future__ import annotations

from types import MappingProxyType

from dmoe_gym.dmoe.physics import Round, terms
from dmoe_gym.dmoe.solvers import lower_bound, solve_exact


def _exact(round: Round) -> dict[str, float]:
    best = terms(round, solve_exact(round))
    return {
        "cost": best.cost,
        "energy_communication_J": best.energy.communication,
        "energy_computation_J": best.energy.computation,
        "relevance": best.relevance,
        "shortfall": best.shortfall,
    }


def _lower_bound(round: Round) -> dict[str, float]:
    nan = float("nan")  # a bound on the cost has no schedule, so no energy of its own
    return {
        "cost": lower_bound(round),
        "energy_communication_J": nan,
        "energy_computation_J": nan,
        "relevance": nan,
        "shortfall": nan,
    }


BOUNDS = MappingProxyType({"exact": _exact, "lower-bound": _lower_bound})

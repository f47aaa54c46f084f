"""Bounds of a DMoE round: they see the true channel, or search beyond any schedule, and are no policies."""

from __future__ import annotations

from types import MappingProxyType

from dmoe_gym.dmoe.physics import Round, terms
from dmoe_gym.dmoe.solvers import lower_bound, solve_exact
from dmoe_gym.dmoe.solvers.clairvoyant import clairvoyant
from dmoe_gym.dmoe.solvers.informed_bound import informed_bound


def _exact(round: Round) -> dict[str, float]:
    best = terms(round, solve_exact(round))
    return {
        "cost": best.cost,
        "energy_communication_J": best.energy.communication,
        "energy_computation_J": best.energy.computation,
        "relevance": best.relevance,
        "shortfall": best.shortfall,
    }


def _cost_alone(cost: float) -> dict[str, float]:
    """A bound on the cost has no schedule, so no energy of its own."""
    nan = float("nan")
    return {
        "cost": cost,
        "energy_communication_J": nan,
        "energy_computation_J": nan,
        "relevance": nan,
        "shortfall": nan,
    }


def _lower_bound(round: Round) -> dict[str, float]:
    return _cost_alone(lower_bound(round))


def _clairvoyant(rounds: list[Round]) -> dict[str, float]:
    return _cost_alone(clairvoyant(rounds).cost)


def _informed(observed: Round, rounds_passed: int) -> dict[str, float]:
    return _cost_alone(informed_bound(observed, rounds_passed))


# of rounds that stand alone
BOUNDS = MappingProxyType({"exact": _exact, "lower-bound": _lower_bound})
# of what rounds that stand alone are expected to cost, given what is observed
OBSERVED_BOUNDS = MappingProxyType({"informed": _informed})
# of whole episodes whose rounds a relevance budget or batteries bind together
EPISODE_BOUNDS = MappingProxyType({"clairvoyant": _clairvoyant})

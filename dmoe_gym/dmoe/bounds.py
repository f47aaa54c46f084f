"""Bounds of DMoE: they see the true channel, search beyond any schedule, or know the law, and are no policies."""

from __future__ import annotations

from types import MappingProxyType

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.physics import Round, terms
from dmoe_gym.dmoe.solvers import lower_bound, solve_exact
from dmoe_gym.dmoe.solvers.blockage import blockage_bound, known_about
from dmoe_gym.dmoe.solvers.clairvoyant import clairvoyant
from dmoe_gym.dmoe.solvers.informed import informed_about, informed_bound
from dmoe_gym.system import ClairvoyantBound, ExactBound, InformedBound


def rounds_stand_alone(config: DMoEConfig) -> bool:
    """Is there no relevance budget and no battery, which bind an episode's rounds together?"""
    return config.relevance_budget is None and config.battery_j is None


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


def _informed(observed: Round, rounds_passed: int, true: Round) -> dict[str, float]:
    if known_about(true.config):
        return _cost_alone(blockage_bound(true))
    return _cost_alone(informed_bound(observed, rounds_passed))


def _least_energy(round: Round) -> dict[str, float]:
    """Every hidden state at the expert of least energy, no exclusivity, and every answer right: no scheduler is below.

    It knows nothing of which answers are right, so it is loose; an exact optimum would search all schedules of all
    layers through the model.
    """
    cost = lower_bound(Round(round.gate_scores, round.gains, 0.0, round.config))
    return {**_cost_alone(cost), "correct": float("nan")}


BOUNDS = MappingProxyType(
    {
        "exact": ExactBound(_exact, rounds_stand_alone),
        "lower-bound": ExactBound(_lower_bound, rounds_stand_alone),
        "clairvoyant": ClairvoyantBound(_clairvoyant, lambda config: not rounds_stand_alone(config)),
        "informed": InformedBound(_informed, lambda config: informed_about(config) or known_about(config)),
    }
)
INFERENCE_BOUNDS = MappingProxyType({"lower-bound": ExactBound(_least_energy)})

"""DMoE physics: what a round is, what a schedule costs, which constraints it breaks. No solver, no Gymnasium."""

from dmoe_gym.dmoe.physics.check import check
from dmoe_gym.dmoe.physics.round import Round, Schedule
from dmoe_gym.dmoe.physics.terms import Constants, Energy, Terms, cost, energy, terms

__all__ = ["Constants", "Energy", "Round", "Schedule", "Terms", "check", "cost", "energy", "terms"]

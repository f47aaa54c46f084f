"""Energy and cost of a schedule (DESIGN section 3, this project's reading of arXiv 2503.13421)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dmoe_gym.dmoe.physics.round import Round, Schedule, require_fit
from dmoe_gym.dmoe.physics.terms import Constants, round_terms


@dataclass(frozen=True)
class Energy:
    """Energy of a round [J]."""

    communication: float
    computation: float

    @property
    def total(self) -> float:
        """Communication plus computation [J]."""
        return self.communication + self.computation


@dataclass(frozen=True)
class Terms:
    """Everything a round's cost is made of.

    Fields: energy [J]; relevance and shortfall, means over hidden states; cost, the scalar that schedulers minimise.
    """

    energy: Energy
    relevance: float
    shortfall: float
    cost: float


def terms(round: Round, schedule: Schedule) -> Terms:
    """Energy, relevance, shortfall and cost of a schedule.

    Energy and cost are infinite where a link with payload has no subcarrier or no rate.

    Raises:
        ValueError: if the schedule's size is not the round's.
    """
    require_fit(round, schedule)
    efficiency = np.where(schedule.allocated, round.spectral_efficiency, 0.0).sum(-1)
    communication, computation, relevance, shortfall, cost = round_terms(
        round.gate_scores,
        schedule.selected,
        efficiency,
        schedule.allocated.sum(-1),
        round.threshold,
        Constants.of(round.config),
    )
    unit = round.config.energy_unit_j
    return Terms(Energy(communication * unit, computation * unit), relevance, shortfall, cost)


def energy(round: Round, schedule: Schedule) -> Energy:
    """Energy of a round's forward transmission and computation [J]; see `terms`."""
    return terms(round, schedule).energy


def cost(round: Round, schedule: Schedule) -> float:
    """E / E_ref + V * mean(shortfall), the one scalar that every scheduler minimises; see `terms`."""
    return terms(round, schedule).cost

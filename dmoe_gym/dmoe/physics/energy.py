"""Energy and cost of a schedule (docs/dmoe.md, this project's reading of arXiv 2503.13421)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dmoe_gym.dmoe.physics.round import Round, Schedule, require_fit
from dmoe_gym.dmoe.physics.terms import Constants, limited_terms, round_terms


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

    Attributes:
        energy: by node and kind [J].
        relevance, shortfall: means over hidden states.
        cost: the scalar that schedulers minimise.
        outages: links that did not deliver in the slot.
    """

    energy: Energy
    relevance: float
    shortfall: float
    cost: float
    outages: int = 0


def terms(round: Round, schedule: Schedule) -> Terms:
    """Energy, relevance, shortfall and cost of a schedule.

    Energy and cost are infinite where a link with payload has no subcarrier, or no rate although all is known.
    Slot, relevance budget and battery are as `physics.terms.limited_terms` says.

    Raises:
        ValueError: if the schedule's size is not the round's.
    """
    require_fit(round, schedule)
    efficiency = np.where(schedule.allocated, round.spectral_efficiency, 0.0).sum(-1)
    constants = Constants.of(round.config)
    unit = round.config.energy_unit_j
    arguments = (
        round.gate_scores,
        schedule.selected,
        efficiency,
        schedule.allocated.sum(-1),
        round.threshold,
        constants,
    )
    communication = computation = relevance = shortfall = cost = np.inf
    outages = 0
    limited = constants.limited or round.battery is not None or round.relevance_owed is not None
    if not limited:
        communication, computation, relevance, shortfall, cost = round_terms(
            *arguments, np.empty(constants.max_experts)
        )
    if limited or (communication == np.inf and not round.config.csi.is_perfect):
        experts = round.config.num_experts
        battery = np.full(experts, np.inf) if round.battery is None else round.battery / unit
        owed = -1.0 if round.relevance_owed is None else round.relevance_owed
        served = np.empty(round.gate_scores.shape, np.bool_)
        communication, computation, relevance, shortfall, cost, outages = limited_terms(
            *arguments, owed, battery, served, np.empty(experts)
        )
    return Terms(Energy(communication * unit, computation * unit), relevance, shortfall, cost, outages)


def energy(round: Round, schedule: Schedule) -> Energy:
    """Energy of a round's forward transmission and computation [J]; see `terms`."""
    return terms(round, schedule).energy


def cost(round: Round, schedule: Schedule) -> float:
    """E / E_ref + V * mean(shortfall), the one scalar that every scheduler minimises; see `terms`."""
    return terms(round, schedule).cost

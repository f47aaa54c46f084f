"""What a round costs when every node schedules its own hidden states and links may take one subcarrier."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from dmoe_gym.dmoe.env.batch import BATTERY, GATHERED, OWED
from dmoe_gym.dmoe.physics.terms import limited_terms
from dmoe_gym.dmoe.solvers.repair import limit_experts

# A slot that nothing outlasts, where the configuration has none [hidden states at 1 bit/s/Hz].
ENDLESS = 1e12


class Choices(NamedTuple):
    """What a round was when its nodes decided: the core draws the next one in the same step."""

    gate_scores: np.ndarray  # (K, N, K)
    gains: np.ndarray  # (K, K, M), see `DMoECore.gains`
    threshold: float
    account: np.ndarray  # (2 + K,), see `charge.charge_served`

    @classmethod
    def of(cls, core: Any) -> Self:
        """Of a core's environment 0."""
        return cls(
            core.relevance.gate_scores[0].copy(),
            core.gains[0].copy(),
            float(core.threshold[0, 0]),
            core.account[0].copy(),
        )


class Charged(NamedTuple):
    """A round that was decided, node by node."""

    selected: np.ndarray  # (K, N, K) bool, who was asked
    subcarrier: np.ndarray  # (K, K) int64, -1 for none
    served: np.ndarray  # (K, N, K) bool, who served in the end
    collisions: np.ndarray  # (K,) links of a node that shared their subcarrier
    energy_j: np.ndarray  # (K,) what a node spent itself, radio and expert [J]
    relevance: np.ndarray  # (K,) mean over its hidden states
    shortfall: np.ndarray  # (K,) likewise, under the threshold
    own_cost: np.ndarray  # (K,) its energy and its priced shortfall, in the unit of the central cost
    terms: np.ndarray  # in the order of `base.TERMS`


def charge_nodes(
    core: Any, choices: Choices, selected: np.ndarray, subcarrier: np.ndarray, *, collide: bool
) -> Charged:
    """Charge the nodes' choices by `limited_terms`, the physics of every limited round.

    With `collide`, links that share a subcarrier are lost as by an outage: they transmit, for the slot or for as long
    as their payload would have taken, and deliver nothing. Of more than D experts of a hidden state the best scores
    stay, and one without any has its own node's; both count as repairs. The core then holds the schedule and its
    account is brought up to date; without `collide` the core has done that itself.

    Args:
        core: a `JointCore` with one environment, whose round `choices` is.
        selected: (K, N, K) bool; subcarrier: (K, K) int64 wishes; both are changed in place.
    """
    config, constants = core.config, core.constants
    nodes, states, _ = selected.shape
    repairs = 0
    if collide:
        for i in range(nodes):
            for n in range(states):
                repairs += limit_experts(choices.gate_scores[i, n], selected[i, n], constants.max_experts)
                if not selected[i, n].any():
                    selected[i, n, i] = True
                    repairs += 1
    payload = selected.sum(1)
    subcarrier[(payload == 0) | np.eye(nodes, dtype=bool)] = -1
    links = subcarrier >= 0
    users = np.bincount(subcarrier[links], minlength=config.num_subcarriers)
    collided = links & (users[subcarrier] > 1) if collide else np.zeros_like(links)
    gains = np.take_along_axis(choices.gains, np.maximum(subcarrier, 0)[..., None], axis=2)[..., 0]
    efficiency = np.where(links, np.log2(1 + constants.snr_per_gain * gains.astype(np.float64)), 0.0)
    count = np.ones((nodes, nodes))
    if np.isinf(constants.slot_states):
        constants = constants._replace(slot_states=ENDLESS)
        # a lost link is charged for the whole slot: so much of the endless one
        count[collided] = payload[collided] / (efficiency[collided] * ENDLESS)
    efficiency[collided] = 0.0
    served, spent = np.empty(selected.shape, np.bool_), np.empty(nodes)
    battery = choices.account[BATTERY:] if config.battery_j is not None else np.full(nodes, np.inf)
    owed = -1.0 if config.relevance_budget is None else choices.account[OWED]
    communication, computation, relevance, shortfall, cost, outages = limited_terms(
        choices.gate_scores, selected, efficiency, count, choices.threshold, constants,
        owed, battery, served, spent,
    )  # fmt: skip
    if collide:
        core.selected[0], core.subcarrier[0] = selected, subcarrier
        core.account[0, GATHERED] += relevance
        if config.battery_j is not None:
            core.account[0, BATTERY:] -= spent
    reached = np.where(served, choices.gate_scores, 0.0).sum(-1, dtype=np.float64)
    best = np.sort(choices.gate_scores, axis=-1)[..., -constants.max_experts :].sum(-1, dtype=np.float64)
    missing = np.maximum(0.0, np.minimum(choices.threshold, best) - reached).sum(1)
    unit, scale = config.energy_unit_j, nodes * states * constants.max_experts
    return Charged(
        selected,
        subcarrier,
        served,
        collided.sum(1),
        spent * unit,
        reached.mean(1),
        missing / states,
        (spent + constants.shortfall_price * missing) / scale,
        np.array([cost, communication * unit, computation * unit, relevance, shortfall, repairs, outages], np.float64),
    )

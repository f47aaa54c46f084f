"""DMoE-Nodes-v0: every node schedules its own hidden states, and links may take one subcarrier."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Self

import numpy as np
from gymnasium import spaces
from numba import prange

from dmoe_gym.compiled.njit import njit_no_refcount, serial_or_parallel
from dmoe_gym.dmoe.config import NodesConfig
from dmoe_gym.dmoe.env.base import DMoECore
from dmoe_gym.dmoe.env.batch import BATTERY, GATHERED, OWED, charge_served, new_workspace, write_link_efficiency
from dmoe_gym.dmoe.env.joint import ROWS_PER_CHUNK, JointCore, apply_joint, decode_joint
from dmoe_gym.dmoe.physics.terms import attainable, limited_terms
from dmoe_gym.dmoe.solvers.repair import limit_experts

# A slot that nothing outlasts, where the configuration has none [hidden states at 1 bit/s/Hz].
ENDLESS = 1e12
# Observations that all nodes share; of the others a node has its own part.
SHARED = ("threshold", "progress", "budget_left", "computation_energy", "announced")


class Nodes(NamedTuple):
    """What the last round was to every node, the environments along the first axis."""

    asked: np.ndarray  # (B, K, N, K) float32, whom node i chose
    arrived: np.ndarray  # (B, K, N, K) float32, who served in the end
    announced: np.ndarray  # (B, K, M) float32, which subcarriers it used
    collisions: np.ndarray  # (B, K) links of a node that shared their subcarrier
    energy_j: np.ndarray  # (B, K) what a node spent itself, radio and expert [J]
    relevance: np.ndarray  # (B, K) mean over its hidden states
    shortfall: np.ndarray  # (B, K) likewise, under the threshold
    cost: np.ndarray  # (B, K) its energy and its priced shortfall, in the unit of the central cost

    @classmethod
    def empty(cls, batch: int, config: NodesConfig) -> Self:
        """Of no round."""
        experts, states, subcarriers = config.num_experts, config.num_states, config.num_subcarriers
        asked, arrived = np.zeros((2, batch, experts, states, experts), np.float32)
        announced = np.zeros((batch, experts, subcarriers), np.float32)
        return cls(asked, arrived, announced, *np.zeros((5, batch, experts)))


class NodesCore(JointCore):
    """Every node decides its own part of `DMoE-JESA-v0`'s action from its own part of the observation and its past.

    As one environment, an action is all nodes' side by side; `dmoe_gym.parallel_env` and
    `dmoe_gym.facades.nodes.NodesVecEnv` show the same episodes node by node. With `collision="lost"` links that share a
    subcarrier transmit, for the slot or for as long as their payload would have taken, and deliver nothing; of more
    than D experts the best scores stay and a hidden state without any has its own node's, both counted as repairs.
    """

    config: NodesConfig
    meaning: Mapping[str, str] = MappingProxyType(
        {
            **DMoECore.meaning,
            "asked": "(K, N, K): 1 where hidden state n of node i chose expert j in the last round; 0 in the first",
            "arrived": "(K, N, K): 1 where expert j served it in the end",
            "announced": '(K, M): 1 where a node used a subcarrier in the last round; only with `observe="neighbours"`',
        }
    )
    _upper: ClassVar[Mapping[str, float]] = {**DMoECore._upper, "asked": 1, "arrived": 1, "announced": 1}

    def __init__(self, num_envs: int, config: NodesConfig) -> None:
        self.config = config
        self.nodes = Nodes.empty(num_envs, config)
        # links that collide break a constraint, which is physics here
        self.decides_rounds = config.collision == "repair"
        super().__init__(num_envs, config)
        endless = np.isinf(self.constants.slot_states)
        self.lasting = self.constants._replace(slot_states=ENDLESS) if endless else self.constants

    def _observations(self) -> dict[str, np.ndarray]:
        nodes, seen = self.nodes, super()._observations()
        announced = {"announced": nodes.announced} if self.config.observe == "neighbours" else {}
        return {**seen, "asked": nodes.asked, "arrived": nodes.arrived, **announced}

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        settle_nodes(
            len(rows), rows, actions, self.config.collision == "lost", self.constants, self.lasting, self.rules,
            self.batch, self.nodes,
        )  # fmt: skip
        self._finish_round(rows)

    def _observe_round(self, rows: np.ndarray, first: bool = False, gains: bool = False, scores: bool = False) -> None:
        if first:
            for past in self.nodes:
                past[rows] = 0
        super()._observe_round(rows, first, gains, scores)

    # --- node by node

    @property
    def node_rewards(self) -> np.ndarray:
        """(B, K) float64, of the last step."""
        if self.config.reward == "own":
            return -self.nodes.cost
        return np.repeat(self.rewards[:, None] / self.config.num_experts, self.config.num_experts, axis=1)

    def node_views(self) -> dict[str, np.ndarray]:
        """What every node sees, (B, K, ...) each: its own part of the observations, and what all know; not copied."""
        experts = self.config.num_experts
        return {key: _of_nodes(key, values, experts) for key, values in self.observations.items()}

    def node_observation_space(self) -> spaces.Space:
        """Of one node."""
        upper = self._largest()
        return spaces.Dict(
            {
                key: spaces.Box(0, float(upper[key]), values.shape[2:], np.float32)
                for key, values in self.node_views().items()
            }
        )

    def node_action_space(self) -> spaces.Space:
        """Of one node: N K selection bits, then the wished subcarrier of its link to every other node."""
        experts, states, subcarriers = self.config.num_experts, self.config.num_states, self.config.num_subcarriers
        return spaces.MultiDiscrete(np.r_[np.full(states * experts, 2), np.full(experts - 1, subcarriers)])

    def joined(self, actions: np.ndarray) -> np.ndarray:
        """Actions of all nodes (B, K, entries) as the environments' (B, entries): all bits, then all wishes."""
        batch, bits = len(actions), self.config.num_states * self.config.num_experts
        return np.concatenate([actions[..., :bits].reshape(batch, -1), actions[..., bits:].reshape(batch, -1)], axis=1)


def _of_nodes(key: str, values: np.ndarray, experts: int) -> np.ndarray:
    if key in SHARED:
        return np.broadcast_to(values[:, None], (len(values), experts, *values.shape[1:]))
    return values[..., None] if values.ndim == 2 else values


@serial_or_parallel
def settle_nodes(rows, actions, collide, constants, lasting, rules, batch, nodes):
    """Apply and charge the actions, and write what the round was to every node."""
    rewards = batch.rewards  # what a parallel loop writes by an attribute of a tuple is lost
    for chunk in prange((rows.shape[0] + ROWS_PER_CHUNK - 1) // ROWS_PER_CHUNK):
        workspace = new_workspace(constants, batch)
        experts = batch.subcarrier.shape[1]
        count, spent, before = np.empty((experts, experts)), np.empty(experts), np.empty(2 + experts)
        for position in range(chunk * ROWS_PER_CHUNK, min((chunk + 1) * ROWS_PER_CHUNK, rows.shape[0])):
            row = rows[position]
            before[:] = batch.account[row]
            if collide:
                decode_joint(actions[row], batch.selected[row], batch.subcarrier[row])
                repairs = limit_nodes(batch.gate_scores[row], constants, batch.selected[row])
            else:
                asked = np.float64(batch.threshold[row, 0]) if rules.enforced else 0.0
                repairs = apply_joint(row, actions, asked, constants, batch, workspace)
                rewards[row] = -charge_served(row, repairs, constants, rules, batch, workspace.served, workspace)
            cost = charge_nodes(row, repairs, collide, before, count, spent, lasting, rules, batch, workspace, nodes)
            if collide:
                rewards[row] = -cost


@njit_no_refcount
def limit_nodes(gate_scores, constants, selected):
    """At most D experts for every hidden state, and its own node's where it has none; return how many that changed."""
    experts, states, _ = selected.shape
    changed = 0
    for i in range(experts):
        for n in range(states):
            changed += limit_experts(gate_scores[i, n], selected[i, n], constants.max_experts)
            if not selected[i, n].any():
                selected[i, n, i] = True
                changed += 1
    return changed


@njit_no_refcount
def charge_nodes(row, repairs, collide, before, count, spent, constants, rules, batch, workspace, nodes):
    """What a round is to every node, by `limited_terms`, the physics of every limited round; return the round's cost.

    With `collide`, links that share a subcarrier are lost as by an outage, terms are written and the account is brought
    up to date; otherwise that has been done.

    Args:
        before: (2 + K,) the account before the round, see `batch.charge_served`.
        count: (K, K), spent: (K,) workspaces.
        constants: `Constants`, with a slot of `ENDLESS` where there is none.
    """
    gate_scores, selected, subcarrier = batch.gate_scores[row], batch.selected[row], batch.subcarrier[row]
    experts, states, _ = selected.shape
    efficiency, served = workspace.link_efficiency, workspace.served
    users, announced, collisions = workspace.holder, nodes.announced[row], nodes.collisions[row]
    users[:] = 0
    for i in range(experts):
        for j in range(experts):
            payload = 0
            for n in range(states):
                payload += selected[i, n, j]
            if payload == 0 or i == j:
                subcarrier[i, j] = -1
            else:
                users[subcarrier[i, j]] += 1
    write_link_efficiency(batch.gains[row], subcarrier, constants, efficiency)
    announced[:] = 0
    for i in range(experts):
        collisions[i] = 0
        for j in range(experts):
            count[i, j] = 1.0
            m = subcarrier[i, j]
            if m < 0:
                continue
            announced[i, m] = 1
            if constants.slot_states == ENDLESS and efficiency[i, j] == 0:
                count[i, j] = 1e-300  # nobody answers the first symbol
            if collide and users[m] > 1:
                collisions[i] += 1
                if constants.slot_states == ENDLESS and efficiency[i, j] > 0:
                    # a lost link is charged for the whole slot: so much of the endless one
                    payload = 0
                    for n in range(states):
                        payload += selected[i, n, j]
                    count[i, j] = payload / (efficiency[i, j] * ENDLESS)
                efficiency[i, j] = 0.0
    threshold = np.float64(batch.threshold[row, 0])
    communication, computation, relevance, shortfall, cost, outages = limited_terms(
        gate_scores, selected, efficiency, count, threshold, constants,
        before[OWED], before[BATTERY:], served, spent,
    )  # fmt: skip
    if collide:
        account, terms = batch.account[row], batch.terms[row]
        account[GATHERED] += relevance
        for j in range(experts):
            account[BATTERY + j] -= spent[j]
        terms[0], terms[1], terms[2] = cost, communication * rules.energy_unit, computation * rules.energy_unit
        terms[3], terms[4], terms[5], terms[6] = relevance, shortfall, repairs, outages
    scale = experts * states * constants.max_experts
    asked, arrived, own_cost = nodes.asked[row], nodes.arrived[row], nodes.cost[row]
    energy, own_relevance, own_shortfall = nodes.energy_j[row], nodes.relevance[row], nodes.shortfall[row]
    for i in range(experts):
        gathered = missing = 0.0
        for n in range(states):
            reached = 0.0
            for j in range(experts):
                asked[i, n, j] = selected[i, n, j]
                arrived[i, n, j] = served[i, n, j]
                if served[i, n, j]:
                    reached += gate_scores[i, n, j]
            gathered += reached
            missing += max(0.0, attainable(gate_scores[i, n], threshold, workspace.best) - reached)
        energy[i] = spent[i] * rules.energy_unit
        own_relevance[i], own_shortfall[i] = gathered / states, missing / states
        own_cost[i] = (spent[i] + constants.shortfall_price * missing) / scale
    return cost

"""DMoE-JESA-Residual-v0: an action corrects the prices of the scenario's strongest analytic scheduler.

Residual policy learning (Silver et al., arXiv 1812.06298; Johannink et al., arXiv 1812.03201): action 0 is that
scheduler, bit for bit, so a learner starts where analysis ends."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Self

import numpy as np
from gymnasium import spaces
from numba import prange

from dmoe_gym.compiled.njit import njit, serial_or_parallel
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.env.base import DMoECore
from dmoe_gym.dmoe.env.batch import Batch, acknowledge, begin_limits, charge, new_workspace
from dmoe_gym.dmoe.env.repair import repair_draft
from dmoe_gym.dmoe.schedulers.episode import HarvestJESA
from dmoe_gym.dmoe.schedulers.scheduler import Correctable, Corrections
from dmoe_gym.dmoe.schedulers.tuned import strongest
from dmoe_gym.policy import Remembered, remembered
from dmoe_gym.residual import LARGEST, FeatureCore, feature_names

# One of each per node, and what it means. Where a scenario has no such thing it is 0.
NODE_FEATURES = MappingProxyType(
    {
        "battery": "share of its battery left",
        "battery_pace": "log(share of the episode left / share of the battery left)",
        "battery_used": "share of its battery that the last round took, times L",
        "demand": "K times its expert's mean gate score over all hidden states of this round, less 1",
        "demand_mean": "the same over all rounds of the episode so far",
        "own_demand_mean": "its own hidden states' mean gate score for its own expert so far, less 1 / K",
        "harvest": "what arrived at its battery in this round over the mean, less 1",
        "harvest_pace": "log(what the rounds left take at an even pace / its energy and expected arrivals)",
        "computation": "its energy per hidden state over the mean node's, less 1",
        "sending": "log of the mean energy of its links to others, on their best subcarriers, over a link of gain 1",
        "receiving": "the same of others' links to it",
    }
)
GLOBAL_FEATURES = MappingProxyType(
    {
        "threshold": "as in `DMoE-JESA-v0`",
        "progress": "as in `DMoE-JESA-v0`",
        "budget_left": "as in `DMoE-JESA-v0`",
        "budget_pace": "log(relevance still missing per round left / the budget)",
    }
)
# Where deliveries are told: these of every node, then those of every link i -> j, row by row.
TOLD_FEATURES = MappingProxyType(
    {
        "blocked_demand": "mean over its hidden states of gate score times the probability that the link is blocked",
        "doubt": "mean over its links of 4 p (1 - p), p the probability that one is blocked",
    }
)
LINK_FEATURES = MappingProxyType(
    {
        "told": "1 delivered, -1 lost, 0 nothing sent in the last round",
        "outcomes": "the same summed over the rounds so far, each counting 0.8 of the one after it",
        "blocked": "probability that it is blocked, by the filter underneath; 0 under a scheduler without one",
    }
)
FADES = 0.8
LEAST = 1e-3  # shares below count as this under a logarithm


def all_feature_names(experts: int, acknowledged: bool = False) -> tuple[str, ...]:
    """The names of a vector's entries: "demand[3]" is of node 3, "told[0,3]" of link 0 -> 3."""
    names = feature_names(NODE_FEATURES, experts, GLOBAL_FEATURES)
    if not acknowledged:
        return names
    links = [f"{name}[{i},{j}]" for name in LINK_FEATURES for i in range(experts) for j in range(experts) if i != j]
    return names + feature_names(TOLD_FEATURES, experts, links)


class Memory(NamedTuple):
    """What is remembered of the episode."""

    scores: np.ndarray  # (B, K, K) sums over rounds of node i's mean gate score for expert j
    rounds: np.ndarray  # (B,) that they are of
    battery: np.ndarray  # (B, K) as observed in the round before
    outcomes: np.ndarray  # (B, K, K) of every link, see `LINK_FEATURES`

    @classmethod
    def empty(cls, batch: int, experts: int) -> Self:
        """Of no episode."""
        links = (batch, experts, experts)
        return cls(np.zeros(links), np.zeros(batch), np.zeros((batch, experts)), np.zeros(links))


@serial_or_parallel
def write_features(rows, first, rounds, budget, has_battery, harvest, constants, batch, memory, features):
    """Bring the memory up to date with the present observation, and write the features of the environments in `rows`.

    Args:
        first: does an episode begin?
        rounds: L; budget: mean relevance asked for, NaN for none; has_battery: are there batteries?
        harvest: (B, K, 2), the two features of it; of no rows without a harvest.
        constants, batch, memory: `Constants`, `Batch`, `Memory`.
        features: (B, features) float32 output.
    """
    for position in prange(rows.shape[0]):
        _write(rows[position], first, rounds, budget, has_battery, harvest, constants, batch, memory, features)


@njit
def _write(row, first, rounds, budget, has_battery, harvest, constants, batch, memory, features):
    gate_scores, efficiency, out = batch.gate_scores[row], batch.efficiency[row], features[row]
    sums = memory.scores[row]
    experts, states, _ = gate_scores.shape
    subcarriers = efficiency.shape[2]
    if first:
        sums[:] = 0.0
        memory.rounds[row] = 0.0
        for node in range(experts):
            memory.battery[row, node] = np.float64(batch.battery[row, node])
    memory.rounds[row] += 1
    seen = memory.rounds[row]
    out[:] = 0.0
    left = (rounds - batch.layer[row] + 1) / rounds
    mean_computation = max(constants.computation.mean(), 1e-12)
    link_unit = (experts - 1) / np.log2(1 + constants.snr_per_gain)
    sending, receiving = np.zeros(experts), np.zeros(experts)
    for i in range(experts):
        for j in range(experts):
            mean = 0.0
            for n in range(states):
                mean += gate_scores[i, n, j]
            mean /= states
            sums[i, j] += mean
            out[3 * experts + j] += mean
            out[4 * experts + j] += sums[i, j] / seen
            if i == j:
                out[5 * experts + j] = sums[i, j] / seen - 1 / experts
                continue
            best = 0.0
            for m in range(subcarriers):
                best = max(best, efficiency[i, j, m])
            sending[i] += 1 / max(best, LEAST)
            receiving[j] += 1 / max(best, LEAST)
    for node in range(experts):
        if has_battery:
            share = np.float64(batch.battery[row, node])
            out[node] = share
            out[experts + node] = np.log(left / max(share, LEAST))
            out[2 * experts + node] = (memory.battery[row, node] - share) * rounds
            memory.battery[row, node] = share
        if harvest.shape[0] > 0:
            out[6 * experts + node] = harvest[row, node, 0]
            out[7 * experts + node] = harvest[row, node, 1]
        out[3 * experts + node] -= 1
        out[4 * experts + node] -= 1
        out[8 * experts + node] = constants.computation[node] / mean_computation - 1
        out[9 * experts + node] = np.log(sending[node] / link_unit)
        out[10 * experts + node] = np.log(receiving[node] / link_unit)
    at = 11 * experts
    out[at] = batch.threshold[row, 0]
    out[at + 1] = batch.progress[row, 0]
    if not np.isnan(budget):
        out[at + 2] = batch.budget_left[row, 0]
        out[at + 3] = np.log(max(batch.budget_left[row, 0] / (left * max(budget, LEAST)), LEAST))
    for index in range(out.shape[0]):
        out[index] = min(max(out[index], -LARGEST), LARGEST)


@serial_or_parallel
def write_link_features(rows, first, gate_scores, delivered, lost, blocked, outcomes, features):
    """Bring the outcomes up to date, and write the last features of a vector: `TOLD_FEATURES` and `LINK_FEATURES`.

    Args:
        first: does an episode begin?
        gate_scores: (B, K, N, K); delivered, lost, blocked, outcomes: (B, K, K); features: (B, features) output.
    """
    for position in prange(rows.shape[0]):
        row = rows[position]
        experts = blocked.shape[1]
        links = experts * (experts - 1)
        out = features[row, features.shape[1] - 2 * experts - 3 * links :]
        out[:] = 0.0
        if first:
            outcomes[row] = 0.0
        at = 2 * experts
        for i in range(experts):
            for j in range(experts):
                if i == j:
                    continue
                chance, told = blocked[row, i, j], delivered[row, i, j] - lost[row, i, j]
                outcomes[row, i, j] = FADES * outcomes[row, i, j] + told
                out[i] += gate_scores[row, i, :, j].mean() * chance
                out[experts + i] += 4 * chance * (1 - chance) / (experts - 1)
                out[at], out[at + links], out[at + 2 * links] = told, outcomes[row, i, j], chance
                at += 1


# What an action of 1 multiplies by (this project's choice). A battery that is never empty should cost nothing, and
# JESA-battery starts at more than six times that: with a factor of 2 PPO gained a third less there.
PRICE_FACTOR = 8.0
RELEVANCE_FACTOR = 1.2
CAUTION_FACTOR = 2.0
PROBING_FACTOR = 4.0


class ResidualCore(FeatureCore, DMoECore):
    """One step corrects the strongest analytic scheduler, which decides the round; action 0 is it, bit for bit.

    Which is the strongest was found on validation episodes of every scenario; `residual={"underneath": "JESA"}` names
    another one. `residual={"reward": "saving"}` rewards what a round costs less than under action 0 on the same
    episode. Stock learners take the one flat vector that is observed: features of order one, clipped to +-5, whose
    length depends on K alone; `env.unwrapped.feature_names` names them. All are functions of the present and past
    observations of `DMoE-JESA-v0`.
    """

    decides_rounds = True
    features_told = MappingProxyType(
        {
            "every node": NODE_FEATURES,
            "all": GLOBAL_FEATURES,
            "every node, with `acknowledged`": TOLD_FEATURES,
            "every link, with `acknowledged`": LINK_FEATURES,
        }
    )
    meaning: Mapping[str, str] = MappingProxyType(
        {
            "features": "(11*K + 4,): 11 features of every node, feature after feature, and 4 of all; "
            "with `acknowledged` (3*K*K + 10*K + 4,), then 2 more of every node and 3 of every link"
        }
    )

    def __init__(self, num_envs: int, config: DMoEConfig) -> None:
        self.config = config
        self._make_features(num_envs)
        self.memory = Memory.empty(num_envs, config.num_experts)
        believed = config.believed()
        self.underneath: Correctable = strongest(believed)
        # what the scheduler underneath remembers
        self.remembered: Remembered = {}
        self.uncertain = not config.csi.is_perfect
        if config.acknowledged:
            told = "11 features of every node, feature after feature, 4 of all, 2 more of every node, 3 of every link"
            self.meaning = {"features": f"(3*K*K + 10*K + 4,): {told}"}
        self.entries = {
            "price": f"K: what node i's radio and expert take is multiplied by {PRICE_FACTOR:g}^entry",
            "relevance": f"1: the threshold (enforced) or the price of relevance, times {RELEVANCE_FACTOR:g}^entry",
        }
        if self.uncertain:
            self.entries["caution"] = f"K: the outage probability of node i's links, times {CAUTION_FACTOR:g}^entry"
        if config.acknowledged:
            self.entries["probing"] = f"K: what a look at node i's links is worth, times {PROBING_FACTOR:g}^entry"
        # what the rounds left take and find at an even pace
        known = believed.harvest is not None and believed.harvest.known_mean_j is not None
        self.even_pace = HarvestJESA(believed, horizon=config.num_layers) if known else None
        # action 0 on the same episodes, where savings are the reward
        self.twin: Batch | None = None
        super().__init__(num_envs, config)
        if config.residual.reward == "saving":
            self._add_twin()

    def _add_twin(self) -> None:
        own = ("threshold", "budget_left", "battery", "selected", "subcarrier", "account", "terms", "rewards")
        self.twin = self.batch._replace(**{name: np.zeros_like(getattr(self.batch, name)) for name in own})
        limits = {"battery": self.twin.battery, "budget_left": self.twin.budget_left}
        limits |= {name: np.zeros_like(values) for name, values in self.inputs.items() if name in ("delivered", "lost")}
        # what action 0 sees of its own episodes, and remembers
        self.twin_seen = {name: values for name, values in limits.items() if name in self.inputs}
        self.twin_remembered: Remembered = {}

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the entries of an observation mean."""
        return all_feature_names(self.config.num_experts, self.config.acknowledged)

    def _action_space(self) -> spaces.Space:
        experts = self.config.num_experts
        return spaces.Box(-1, 1, (experts + 1 + experts * (self.uncertain + self.config.acknowledged),), np.float32)

    def corrections(self, actions: np.ndarray) -> Corrections:
        """What actions (B, entries) mean."""
        exponents = actions.astype(np.float64)
        experts = self.config.num_experts
        further = iter(np.split(exponents[:, experts + 1 :], self.uncertain + self.config.acknowledged or 1, axis=1))
        nothing = np.zeros((len(actions), experts))
        caution = next(further) if self.uncertain else nothing
        probing = next(further) if self.config.acknowledged else nothing
        return Corrections(
            PRICE_FACTOR ** exponents[:, :experts], RELEVANCE_FACTOR ** exponents[:, experts], CAUTION_FACTOR**caution,
            PROBING_FACTOR**probing,
        )  # fmt: skip

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        everyone = len(rows) == self.num_envs
        given = self.corrections(actions if everyone else actions[rows])
        plan = self.underneath.corrected(self._part(self.inputs | self.remembered, rows), given)
        _settle(len(rows), rows, *plan, self.constants, self.rules, self.batch)
        if self.twin is not None:
            plan = self.underneath.schedule(self._part(self.inputs | self.twin_seen | self.twin_remembered, rows))
            _settle(len(rows), rows, *plan, self.constants, self.rules, self.twin)
            self.rewards[rows] -= self.twin.rewards[rows]
        self._finish_round(rows)

    def _part(self, arrays: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
        return arrays if len(rows) == self.num_envs else {key: values[rows] for key, values in arrays.items()}

    def _draw_outside(self, rows: np.ndarray, first: bool, gains: bool = True, scores: bool = True) -> None:
        if self.twin is not None and gains and self.config.acknowledged:
            told = self.twin_seen["delivered"], self.twin_seen["lost"]
            acknowledge(len(rows) / 8, rows, first, self.constants, self.twin, *told)
        super()._draw_outside(rows, first, gains, scores)

    def _harvest_features(self) -> np.ndarray:
        """(B, K, 2), or (0, K, 2) without a harvest of known law: see `env.features`."""
        if self.even_pace is None:
            return np.zeros((0, self.config.num_experts, 2))
        believed = self.even_pace.config
        harvest = believed.harvest
        assert harvest is not None
        assert harvest.known_mean_j is not None  # or there would be no pace
        need, energy = self.even_pace.need_and_energy(self.inputs)
        now = self.harvest_seen.astype(float) * float(believed.battery_j or 0)
        return np.stack([now / harvest.known_mean_j - 1, np.log(need / energy)], -1)

    def _observe_round(self, rows: np.ndarray, first: bool = False, gains: bool = False, scores: bool = False) -> None:
        super()._observe_round(rows, first, gains, scores)
        if self.twin is not None:
            begin_limits(len(rows) / 8, rows, first, self.rules, self.twin)
            self._receive(rows, first, self.twin)
            theirs = self.inputs | self.twin_seen
            self.twin_remembered = remembered(self.underneath, self.twin_remembered, theirs, rows)
        self.remembered = remembered(self.underneath, self.remembered, self.inputs, rows)
        write_features(
            len(rows) / 8, rows, first, self.config.num_layers, self.rules.budget, self.config.battery_j is not None,
            self._harvest_features(), self.constants, self.batch, self.memory, self.features,
        )  # fmt: skip
        if self.config.acknowledged:
            blocked = self.remembered.get("blocked", np.zeros_like(self.memory.outcomes))
            write_link_features(
                len(rows) / 8, rows, first, self.batch.gate_scores, self.delivered, self.lost, blocked,
                self.memory.outcomes, self.features,
            )  # fmt: skip


@njit
def _settle_one(row, selected, subcarrier, constants, rules, batch):
    """The reward of one environment's planned schedule, made feasible."""
    workspace = new_workspace(constants, batch)
    chosen, route = batch.selected[row], batch.subcarrier[row]
    experts, states, _ = chosen.shape
    for i in range(experts):
        for j in range(experts):
            route[i, j] = -1 if i == j else max(subcarrier[i, j], 0)
            for n in range(states):
                chosen[i, n, j] = selected[i, n, j]
    asked = np.float64(batch.threshold[row, 0]) if rules.enforced else 0.0
    repairs = repair_draft(batch.gate_scores[row], batch.efficiency[row], asked, constants, chosen, route, workspace)
    return -charge(row, repairs, constants, rules, batch, workspace)


@serial_or_parallel
def _settle(rows, selected, subcarrier, constants, rules, batch):
    """Make planned schedules feasible and charge for them, as `DMoE-JESA-v0` does with the actions that encode them."""
    rewards = batch.rewards  # what a parallel loop writes by an attribute of a tuple is lost
    for position in prange(rows.shape[0]):
        row = rows[position]
        rewards[row] = _settle_one(row, selected[position], subcarrier[position], constants, rules, batch)

"""DMoE-JESA-Residual-v0: an action corrects the prices of the scenario's strongest analytic scheduler.

Residual policy learning (Silver et al., arXiv 1812.06298; Johannink et al., arXiv 1812.03201): action 0 is that
scheduler, bit for bit, so a learner starts where analysis ends.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from gymnasium import spaces
from numba import prange

from dmoe_gym.compiled.threads import serial_or_parallel
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.env.acknowledge import acknowledge
from dmoe_gym.dmoe.env.base import DMoECore
from dmoe_gym.dmoe.env.batch import Batch, new_workspace
from dmoe_gym.dmoe.env.charge import charge
from dmoe_gym.dmoe.env.features import LARGEST, Memory, feature_names, write_features, write_link_features
from dmoe_gym.dmoe.env.observe import begin_limits
from dmoe_gym.dmoe.env.repair import repair_draft
from dmoe_gym.dmoe.schedulers.corrections import Correctable, Corrections
from dmoe_gym.dmoe.schedulers.episode import HarvestJESA
from dmoe_gym.dmoe.schedulers.strongest import strongest
from dmoe_gym.policy import Remembered, remembered

# What an action of 1 multiplies by (this project's choice). A battery that is never empty should cost nothing, and
# JESA-battery starts at more than six times that: with a factor of 2 a learner gained half as much.
PRICE_FACTOR = 8.0
RELEVANCE_FACTOR = 1.2
CAUTION_FACTOR = 2.0
PROBING_FACTOR = 4.0


class ResidualCore(DMoECore):
    """One step corrects the strongest analytic scheduler, which decides the round; action 0 is it, bit for bit.

    Which is the strongest was found on validation episodes of every scenario; `residual={"underneath": "JESA"}` names
    another one. `residual={"reward": "saving"}` rewards what a round costs less than under action 0 on the same
    episode. Stock learners take the one flat vector that is observed: features of order one, clipped to +-5, whose
    length depends on K alone; `env.unwrapped.feature_names` names them. All are functions of the present and past
    observations of `DMoE-JESA-v0`.
    """

    decides_rounds = True
    meaning = MappingProxyType(
        {
            "features": "(11*K + 4,): 11 features of every node, feature after feature, and 4 of all; "
            "with `acknowledged` then 2 of every node and 3 of every link"
        }
    )
    alone = "features"

    def __init__(self, num_envs: int, config: DMoEConfig) -> None:
        self.config = config
        self.features = np.zeros((num_envs, len(self.feature_names)), np.float32)
        self.memory = Memory.empty(num_envs, config.num_experts)
        self.underneath: Correctable = strongest(config)
        # what the scheduler underneath remembers
        self.remembered: Remembered = {}
        self.uncertain = not config.csi.is_perfect
        self.entries = {
            "price": f"K: what node i's radio and expert take is multiplied by {PRICE_FACTOR:g}^entry",
            "relevance": f"1: the threshold (enforced) or the price of relevance, times {RELEVANCE_FACTOR:g}^entry",
        }
        if self.uncertain:
            self.entries["caution"] = f"K: the outage probability of node i's links, times {CAUTION_FACTOR:g}^entry"
        if config.acknowledged:
            self.entries["probing"] = f"K: what a look at node i's links is worth, times {PROBING_FACTOR:g}^entry"
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
        return feature_names(self.config.num_experts, self.config.acknowledged)

    def _observations(self) -> dict[str, np.ndarray]:
        # what the scheduler underneath sees, beside what is observed
        self.inputs = super()._observations()
        return {"features": self.features}

    def _observation_space(self) -> spaces.Space:
        return spaces.Box(-LARGEST, LARGEST, self.features.shape[1:], np.float32)

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
        config, harvest = self.config, self.config.harvest
        if harvest is None or harvest.known_mean_j is None:
            return np.zeros((0, config.num_experts, 2))
        need, energy = HarvestJESA(config, horizon=config.num_layers).outlook(self.inputs)
        now = self.harvest_seen.astype(float) * float(config.battery_j or 0)
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


@serial_or_parallel
def _settle(rows, selected, subcarrier, constants, rules, batch):
    """Make planned schedules feasible and charge for them, as `DMoE-JESA-v0` does with the actions that encode them."""
    rewards = batch.rewards  # what a parallel loop writes by an attribute of a tuple is lost
    experts = subcarrier.shape[1]
    for position in prange(rows.shape[0]):
        row = rows[position]
        workspace = new_workspace(constants, batch)
        chosen, route = batch.selected[row], batch.subcarrier[row]
        chosen[:] = selected[position]
        for i in range(experts):
            for j in range(experts):
                route[i, j] = -1 if i == j else max(subcarrier[position, i, j], 0)
        asked = np.float64(batch.threshold[row, 0]) if rules.enforced else 0.0
        repairs = repair_draft(
            batch.gate_scores[row], batch.efficiency[row], asked, constants, chosen, route, workspace
        )
        rewards[row] = -charge(row, repairs, constants, rules, batch, workspace)

"""What every DMoE environment shares: rounds drawn from the configuration, and the observation of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dmoe_gym.channel.csi import PerfectKnowledge
from dmoe_gym.channel.fading import RayleighChannel
from dmoe_gym.compiled.draws import compiled
from dmoe_gym.core import BatchedCore
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.env.batch import BATTERY, OBSERVED_PER_DRAWN, Batch, Rules, acknowledge, observe_rounds, round_of
from dmoe_gym.dmoe.physics import Constants, Round, Schedule, check
from dmoe_gym.dmoe.physics.round import in_turn
from dmoe_gym.relevance import RelevanceProcess
from dmoe_gym.relevance.process import DirichletRelevance

TERMS = ("cost", "energy_communication_J", "energy_computation_J", "relevance", "shortfall", "repairs", "outages")


class DMoECore(BatchedCore):
    """An episode is one inference of L rounds, a round one layer, with gate scores and the channel's next state.

    Terms of a step are the share of its round that the step decided, so over a round they sum to the round's. What is
    observed of the channel, and what actions are repaired by, is what `csi` lets know; charged is the true channel.
    """

    reward = "minus the cost: energy over a reference energy, plus V times the mean shortfall"

    term_names: ClassVar[tuple[str, ...]] = TERMS
    config: DMoEConfig
    # (num_envs,) the hidden state whose turn it is, where a step decides less than a round
    turn: np.ndarray | None = None

    def __init__(self, num_envs: int, config: DMoEConfig) -> None:
        super().__init__(num_envs, config, config.num_layers)
        experts, states, subcarriers = config.num_experts, config.num_states, config.num_subcarriers
        self.constants = Constants.of(config)
        self.channel = config.channel.process(num_envs, (experts, experts), subcarriers)
        self.knowledge = config.csi.knowledge(self.channel)
        self.relevance: RelevanceProcess = config.relevance.process(num_envs, experts, states, experts)
        self.harvest = None
        if config.harvest is not None:
            self.start_share = config.harvest.start_share
            self.harvest = config.harvest.process(num_envs, experts)
        self.harvest_seen = np.zeros((num_envs, experts), np.float32)
        # (B, K, K) each, of the round before
        self.delivered, self.lost = np.zeros((2, num_envs, experts, experts), np.float32)
        # the default processes' draws are compiled into one pass with what is observed
        plain = type(self.channel) is RayleighChannel and type(self.knowledge) is PerfectKnowledge
        outside = self.harvest is not None or config.acknowledged or config.return_transmission
        self._gains_inside = plain and not outside
        # (2, num_envs, K, K, M) gains of links there and back, true and observed; see `gains`
        self._both_ways: np.ndarray | None = None
        if config.return_transmission:
            self._both_ways = np.zeros((2, *self.channel.gains.shape), np.float32)
        self._scores_inside = type(self.relevance) is DirichletRelevance
        self.rules = Rules.of(config)
        self.efficiency = np.zeros((num_envs, experts, experts, subcarriers), np.float32)
        self.threshold = np.zeros((num_envs, 1), np.float32)
        self.budget_left = np.zeros((num_envs, 1), np.float32)
        self.battery = np.zeros((num_envs, experts), np.float32)
        # see `charge.charge_served`
        self.account = np.zeros((num_envs, BATTERY + experts))
        self.computation = np.tile(self.constants.computation.astype(np.float32), (num_envs, 1))
        self.selected = np.zeros((num_envs, experts, states, experts), np.bool_)
        self.subcarrier = np.full((num_envs, experts, experts), -1, np.int64)
        self._build_spaces()

    def _name_views(self) -> None:
        super()._name_views()
        self.batch = Batch(
            addresses=self.generators.addresses,
            layer=self.layer,
            progress=self.progress,
            terminated=self.terminated,
            gains=self.gains,
            observed_gains=self.observed_gains,
            efficiency=self.efficiency,
            domains=self.relevance.domains,
            gate_scores=self.relevance.gate_scores,
            threshold=self.threshold,
            budget_left=self.budget_left,
            battery=self.battery,
            selected=self.selected,
            subcarrier=self.subcarrier,
            account=self.account,
            terms=self.term_values,
            rewards=self.rewards,
        )

    @property
    def gains(self) -> np.ndarray:
        """(num_envs, K, K, M) what costs are made of: the channel's, or where answers travel back the gain of one way
        that would take as long as both do."""
        return self.channel.gains if self._both_ways is None else self._both_ways[0]

    @property
    def observed_gains(self) -> np.ndarray:
        """The same of the gains as they are observed."""
        return self.knowledge.observed_gains if self._both_ways is None else self._both_ways[1]

    # --- spaces and observation

    def _observations(self) -> dict[str, np.ndarray]:
        limits = {}
        if self.config.relevance_budget is not None:
            limits["budget_left"] = self.budget_left
        if self.config.battery_j is not None:
            limits["battery"] = self.battery
        if self.harvest is not None:
            limits["harvest"] = self.harvest_seen
        if self.config.acknowledged:
            limits.update(delivered=self.delivered, lost=self.lost)
        return {
            "gate_scores": self.relevance.gate_scores,
            "spectral_efficiency": self.efficiency,
            "threshold": self.threshold,
            "progress": self.progress,
            "computation_energy": self.computation,
            **limits,
        }

    meaning: Mapping[str, str] = MappingProxyType(
        {
            "gate_scores": "(K, N, K): relevance of expert j for hidden state n of node i; sums to 1 over j",
            "spectral_efficiency": "(K, K, M): log2(1 + SNR) of link i to j over subcarrier m [bit/s/Hz]; 0 if i = j; "
            "of both ways with `return_transmission`",
            "threshold": "(1,): z gamma^l, the relevance that every hidden state of the round shall reach",
            "progress": "(1,): l / L, the share of the episode's rounds, this one included",
            "computation_energy": "(K,): a, what a node's expert takes per hidden state [E_ref / (K N D)]",
            "budget_left": "(1,): relevance that the episode still lacks, over L; only with `relevance_budget`",
            "battery": "(K,): share of its battery that a node has left; only with `battery_j`",
            "harvest": "(K,): what arrived at a node's battery in this round, over the battery; only with `harvest`",
            "delivered": "(K, K): 1 where link i to j delivered what it carried in the last round; only `acknowledged`",
            "lost": "(K, K): 1 where it carried something in the last round and lost it; only `acknowledged`",
        }
    )

    # Largest value of each observation. A node's computation takes at most twice the mean node's; 64 bit/s/Hz would
    # be an SNR of 193 dB.
    _upper: ClassVar[Mapping[str, float]] = {
        **dict.fromkeys(meaning, 1), "spectral_efficiency": 64, "computation_energy": 2,
    }  # fmt: skip

    # --- episodes

    def _draw_first_round(self, rows: np.ndarray) -> None:
        self._draw_outside(rows, True)

    def _draw_next_round(self, rows: np.ndarray) -> None:
        self._draw_outside(rows, False)

    def _draw_outside(self, rows: np.ndarray, first: bool, gains: bool = True, scores: bool = True) -> None:
        """Draw gains, with the harvest, and gate scores, or one of them, by the processes themselves: gains first."""
        processes: tuple[Any, ...] = ()
        if gains:
            if self.config.acknowledged:
                acknowledge(len(rows) / 8, rows, first, self.constants, self.batch, self.delivered, self.lost)
            processes = (
                (self.channel, self.knowledge) if self.harvest is None else (self.channel, self.knowledge, self.harvest)
            )
        if scores:
            processes = (*processes, self.relevance)
        for process in processes:
            (process.start if first else process.advance)(rows, self.generators)

    def _inside(self, first: bool) -> tuple[bool, bool]:
        """Does compiled code draw gains, and gate scores? An environment's gains are drawn before its scores."""
        if not compiled(self.generators):
            return False, False
        scores = self._scores_inside
        return self._gains_inside and (scores or not (first or self.relevance.draws_rounds)), scores

    def _begin_round(self, rows: np.ndarray, first: bool) -> None:
        gains, scores = self._inside(first)
        self._draw_outside(rows, first, not gains, not scores)
        self._observe_round(rows, first, gains, scores)

    def _observe_round(self, rows: np.ndarray, first: bool = False, gains: bool = False, scores: bool = False) -> None:
        """Write what is observed of a round, and draw its gains and its gate scores if that is still to be done."""
        if self._both_ways is not None:
            snr = self.config.mean_snr
            for kept, drawn in zip(self._both_ways, (self.channel.gains, self.knowledge.observed_gains), strict=True):
                one_way = np.log1p(snr * drawn[rows].astype(np.float64))
                kept[rows] = np.expm1(in_turn(one_way, one_way.swapaxes(1, 2))) / snr
        work = len(rows) / (1 if gains else OBSERVED_PER_DRAWN)
        observe_rounds(work, rows, first, gains, scores, self.constants, self.rules, self.batch)
        self._receive(rows, first, self.batch)
        if self.recorder is not None:
            self.recorder.begin_round(self, rows)

    def _receive(self, rows: np.ndarray, first: bool, batch: Batch) -> None:
        """Let what was harvested arrive at the batteries, as far as they hold it, and show both."""
        if self.harvest is None:
            return
        full, arrived = self.rules.full_battery, self.harvest.arrived[rows] / self.config.energy_unit_j
        before = full * self.start_share if first else batch.account[rows, BATTERY:]
        batch.account[rows, BATTERY:] = np.minimum(full, before + arrived)
        batch.battery[rows] = batch.account[rows, BATTERY:] / full
        self.harvest_seen[rows] = np.minimum(1, arrived / full)

    # --- for users of one environment

    def round(self, row: int) -> Round:
        """The true current round of one environment."""
        return self._round(row, self.channel.gains, **self.channel.obstacles(row))

    def observed_round(self, row: int) -> Round:
        """The current round of one environment as the scheduler sees it; the true one under perfect knowledge."""
        return self._round(row, self.knowledge.observed_gains)

    def harvested(self, row: int) -> np.ndarray | None:
        """What arrived at the batteries of one environment [E_ref / (K N D)]."""
        return None if self.harvest is None else self.harvest.arrived[row] / self.config.energy_unit_j

    def _round(self, row: int, gains: np.ndarray, **known: np.ndarray) -> Round:
        return round_of(
            self.config, self.relevance.gate_scores[row], gains[row], float(self.threshold[row, 0]),
            self.account[row], self.harvested(row), **known,
        )  # fmt: skip

    def schedule(self, row: int) -> Schedule:
        """The schedule that the last step of one environment decided (so far, in the sequential environment)."""
        return Schedule.from_subcarriers(self.selected[row], self.subcarrier[row], self.config.num_subcarriers)

    def check(self, round: Round, schedule: Schedule) -> list[str]:
        """See `dmoe.check`."""
        return check(round, schedule)

    def priced(self, row: int) -> tuple[float, float]:
        """The mean shortfall and its price V."""
        return float(self.terms["shortfall"][row]), self.config.shortfall_price

    def metrics(self, means: dict[str, float]) -> dict[str, float]:
        """Adds the energy of one hidden state in one round [mJ]."""
        joules = means["energy_communication_J"] + means["energy_computation_J"]
        return {**means, "energy_per_state_mJ": 1e3 * joules / (self.config.num_experts * self.config.num_states)}

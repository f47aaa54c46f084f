"""Learned detours: which restarts of a local search are worth their time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.residual.base import Arrays, Surveyed
from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.schedulers.rounds import ValueGreedy
from dmoe_gym.dmoe.schedulers.scheduler import Planner, observed_rounds
from dmoe_gym.dmoe.schedulers.uncertain import ExpectedCostJESA
from dmoe_gym.dmoe.solvers.restarts import expected_detours, expected_node_costs, node_costs, valued_detours


class DetourResidual(Surveyed):
    """An analytic scheduler, then detours (`solvers.detours`) by the network's ranking; one item per (node, expert).

    The detours of positive output are made, `tries` at most, the largest first. What a detour saves is known before
    it is taken, so training surveys all of them once per round and needs no environment.

    Args:
        tries: detours per round.

    Raises:
        ValueError: if tries is not from 1 to K * K.
    """

    inputs = 13
    outputs = 1
    planner: Planner

    def __init__(self, config: DMoEConfig, tries: int = 6) -> None:
        if not 1 <= tries <= config.num_experts**2:
            raise ValueError(f"tries = {tries}: valid are whole numbers from 1 to K * K = {config.num_experts**2}")
        super().__init__(config)
        self.tries = tries

    @abstractmethod
    def _node_costs(self, layer: int, *arguments: Any) -> None:
        """Every node's cost into the last argument, costs (K,); the others are what `observed_rounds` gives."""

    @abstractmethod
    def _detours(self, layer: int, *arguments: Any) -> None:
        """The kernel of `solvers.detours` that values schedules as this scheduler does.

        Args:
            arguments: gate scores, efficiency, threshold, links, keep, selected, subcarrier, savings.
        """

    def start(self, batch: int) -> Arrays:
        return {"rounds": np.zeros(batch)}

    def see(self, observation: Mapping[str, np.ndarray], memory: Arrays) -> Arrays:
        selected, subcarrier = self.planner.plan(observation)
        costs = np.empty(subcarrier.shape[:2])
        for row, (layer, arguments) in enumerate(self._rounds(observation, selected, subcarrier)):
            self._node_costs(layer, *arguments, costs[row])
        return {"selected": selected, "subcarrier": subcarrier, "costs": costs}

    def _rounds(self, observation: Mapping[str, np.ndarray], selected: np.ndarray, subcarrier: np.ndarray):
        thresholds = observation["threshold"][:, 0]
        rounds = observed_rounds(
            observation["gate_scores"], observation["spectral_efficiency"], thresholds, selected, subcarrier
        )
        return zip(self.layers(observation), rounds, strict=True)

    def features(self, observation: Mapping[str, np.ndarray], seen: Arrays) -> np.ndarray:
        scores, efficiency = observation["gate_scores"].astype(float), observation["spectral_efficiency"].astype(float)
        selected, subcarrier, costs = seen["selected"], seen["subcarrier"], seen["costs"]
        batch, experts, states, _ = scores.shape
        subcarriers = efficiency.shape[-1]
        held = subcarrier[..., None] == np.arange(subcarriers)
        taken = held.any((1, 2))[:, None, None, :] & ~held.any(2)[:, :, None, :]
        rest = np.where(taken, 0.0, efficiency).max(-1) / 6
        largest = scores.max(2)
        own = np.broadcast_to(np.eye(experts), largest.shape)
        served = (scores * selected).sum(-1).mean(-1)
        per_state = costs / states
        shared = [np.log1p(per_state), np.log1p(per_state) - np.log1p(per_state).mean(-1, keepdims=True), served - 0.5]
        links = [
            largest,
            scores.mean(2),
            selected.mean(2),
            own,
            rest,
            efficiency.max(-1) / 6,
            (efficiency * held).sum(-1) / 6,
            largest * rest,
            np.broadcast_to(observation["computation_energy"][:, None, :], largest.shape) - 0.5,
            largest * shared[0][..., None],
        ]
        stacked = [*links, *(np.broadcast_to(each[..., None], largest.shape) for each in shared)]
        return np.stack(stacked, -1).reshape(batch, experts * experts, self.inputs)

    def survey(self, observation: Mapping[str, np.ndarray], seen: Arrays) -> np.ndarray:
        size = self.config.num_experts**2
        savings = np.empty((len(seen["costs"]), size))
        links = np.arange(size)
        for row, (layer, arguments) in enumerate(self._rounds(observation, seen["selected"], seen["subcarrier"])):
            self._detours(layer, *arguments[:3], links, False, *arguments[3:], savings[row])
        return savings / self._scale

    @property
    def _scale(self) -> float:
        return self.config.num_experts * self.config.num_states * self.config.max_experts

    def valued(self, seen: Arrays, savings: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """By the best of the detours that are made; what two of them save together is left out of account."""
        chosen = -np.sort(-outputs[..., 0], -1)[..., self.tries - 1 : self.tries]
        made = (outputs[..., 0] > 0) & (outputs[..., 0] >= chosen)
        return seen["costs"].sum(-1) / self._scale - np.where(made, savings, 0.0).max(-1)

    def plan(
        self, observation: Mapping[str, np.ndarray], seen: Arrays, outputs: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        selected, subcarrier = seen["selected"].copy(), seen["subcarrier"].copy()
        order = np.argsort(-outputs[..., 0], axis=-1, kind="stable")[:, : self.tries]
        for row, (layer, arguments) in enumerate(self._rounds(observation, selected, subcarrier)):
            links = order[row][outputs[row, order[row], 0] > 0]
            self._detours(layer, *arguments[:3], links, True, *arguments[3:], np.empty(len(links)))
        return selected, subcarrier


class ExpectedDetours(DetourResidual):
    """Detours from expected-cost JESA, valued by the expected cost.

    Args:
        caution: of `ExpectedCostJESA`.
    """

    underneath = "JESA-expected"
    planner: ExpectedCostJESA

    def __init__(self, config: DMoEConfig, caution: float = 1.0, tries: int = 6) -> None:
        super().__init__(config, tries)
        self.planner = ExpectedCostJESA(config, caution)

    def _node_costs(self, layer: int, *arguments: Any) -> None:
        scores, efficiency, threshold, selected, subcarrier, costs = arguments
        outlook = self.planner.outlooks[layer - 1]
        expected_node_costs(
            scores, efficiency, threshold, self.constants, outlook, np.full(len(costs), self.planner.caution),
            np.ones(len(costs)), selected, subcarrier, costs,
        )  # fmt: skip

    def _detours(self, layer: int, *arguments: Any) -> None:
        scores, efficiency, threshold, links, keep, selected, subcarrier, savings = arguments
        everyone = np.ones(len(scores))
        expected_detours(
            scores, efficiency, threshold, self.constants, self.planner.outlooks[layer - 1],
            everyone * self.planner.caution, everyone, links, keep, selected, subcarrier, savings,
        )  # fmt: skip


class ValuedDetours(DetourResidual):
    """Detours from value-greedy scheduling with local search, valued by the cost, which is known."""

    underneath = "value-greedy-search"

    def __init__(self, config: DMoEConfig, tries: int = 6) -> None:
        super().__init__(config, tries)
        self.planner = ValueGreedy(config)

    def _node_costs(self, layer: int, *arguments: Any) -> None:
        scores, efficiency, threshold, _, subcarrier, costs = arguments
        node_costs(scores, efficiency, threshold, self.constants, subcarrier, costs)

    def _detours(self, layer: int, *arguments: Any) -> None:
        scores, efficiency, threshold, links, keep, selected, subcarrier, savings = arguments
        valued_detours(scores, efficiency, threshold, self.constants, links, keep, selected, subcarrier, savings)

"""A scheduler for DMoE-Inference that learned whom each hidden state of each layer needs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from agents.importance.network import SelectionNetwork, link_energies
from dmoe_gym.dmoe.inference import InferenceConfig
from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.dmoe.schedulers.scheduler import Planner, empty_plan
from dmoe_gym.dmoe.solvers.assignment import allocate, count_payload
from dmoe_gym.dmoe.solvers.repair import drop_unserved, release_idle


class LearnedSelection(Planner):
    """Experts by a network from what is observed, subcarriers by the optimal assignment of the links in use.

    Args:
        config: of the environment.
        network: trained; it is not changed.
        price: what a wrong answer costs [E_ref]: the network was trained for a range of prices, and a higher one buys
            accuracy with energy.
    """

    def __init__(self, config: InferenceConfig, network: SelectionNetwork, price: float) -> None:
        super().__init__(config)
        self.network = network
        self.price = price

    def plan(self, observation: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        scores = observation["gate_scores"]
        size, nodes = scores.shape[:2]
        energies = link_energies(
            observation["spectral_efficiency"].max(-1), observation["computation_energy"], self.constants.transmission
        )
        with np.errstate(divide="ignore"):
            log_scores = np.log(scores)
        layers, node = self.layers(observation), torch.arange(nodes)
        selected, subcarrier = empty_plan(observation)
        for row in range(size):
            # one round at a time: the same bits in every batch size
            selected[row] = self.network.decide(
                int(layers[row]) - 1,
                node,
                torch.from_numpy(log_scores[row]),
                torch.from_numpy(energies[row]),
                self.price,
                self.config.max_experts,
            )
            assign(scores[row], observation["spectral_efficiency"][row], self.constants, selected[row], subcarrier[row])
        return selected, subcarrier


def assign(
    gate_scores: np.ndarray,
    efficiency: np.ndarray,
    constants: Constants,
    selected: np.ndarray,
    subcarrier: np.ndarray,
) -> None:
    """The optimal subcarriers of a selection, in place; links that get none are dropped."""
    links = efficiency.shape[:2]
    payload, weights = np.empty(links, np.int64), np.empty(links)
    count_payload(gate_scores, selected, payload, weights)
    if allocate(payload, efficiency, weights, constants.slot_states, subcarrier) > 0:
        drop_unserved(selected, subcarrier)
        release_idle(selected, subcarrier)

"""A residual scheduler as the policy of a learner: its parameters as a tensor, its decisions as actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.networks.shared import SharedNetwork
from agents.networks.vector import VectorPolicy
from agents.residual.base import Arrays, Compiled, Residual
from dmoe_gym.dmoe.env.joint import encode_joint
from dmoe_gym.policy import as_batch


class ResidualPolicy(VectorPolicy):
    """Acts in `DMoE-JESA-v0`; deterministic, with what it has seen of the running episodes as its state.

    Args:
        residual: the scheduler.
        width: of the network's hidden layer, 0 for a linear map.
        seed, learning_rate: of `VectorPolicy`.
    """

    def __init__(self, residual: Residual, width: int, seed: int, learning_rate: float) -> None:
        network = SharedNetwork(residual.inputs, residual.outputs, width, residual.softsign)
        super().__init__(network, seed, learning_rate)
        self.residual = residual

    def decide(
        self, observation: Mapping[str, np.ndarray], seen: Arrays, parameters: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Schedules of P candidates on B episodes each; see `Residual.decide`."""
        return self.residual.decide(self.network, observation, seen, parameters)

    def predict(
        self,
        observation: Mapping[str, np.ndarray],
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """The action(s), and what has been seen so far: forgotten where an observation is an episode's first."""
        batch, batched = as_batch(observation, "gate_scores", 3)
        parameters = self.parameters_vector.detach().numpy()[None]
        seen, memory = ({}, None) if isinstance(self.residual, Compiled) else self._look(batch, state)
        actions = encode_joint(*self.decide(batch, seen, parameters))
        return actions if batched else actions[0], memory

    def _look(self, batch: Mapping[str, np.ndarray], state: Any) -> tuple[Arrays, Arrays]:
        """What is seen of the rounds, and what is remembered after them."""
        size = len(batch["gate_scores"])
        known = state is not None and len(next(iter(state.values()))) == size
        memory = {key: values.copy() for key, values in state.items()} if known else self.residual.start(size)
        first = self.residual.layers(batch) == 1
        for values in memory.values():
            values[first] = 0
        return self.residual.see(batch, memory), memory

"""A network's parameters as one vector."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from agents.networks.shared import SharedNetwork


class VectorPolicy(nn.Module):
    """A shared network's parameters as one vector, which an evolution strategy moves.

    Args:
        network: whose parameters.
        seed: of the hidden layer's first weights.
        learning_rate: of Adam, which belongs to the policy as in every Stable-Baselines3 learner.
    """

    def __init__(self, network: SharedNetwork, seed: int, learning_rate: float) -> None:
        super().__init__()
        self.network = network
        initial = network.initial(np.random.default_rng([seed, 2]))
        self.parameters_vector = nn.Parameter(torch.as_tensor(initial))
        self.optimizer = torch.optim.Adam([self.parameters_vector], lr=learning_rate)

    def set_training_mode(self, mode: bool) -> None:
        """There is nothing that training does differently."""

"""MultiDiscrete actions as one batched distribution.

Stable-Baselines3 keeps one `Categorical` object per factor and loops over them; an action of
`DMoE-JESA-v0` has 28 factors on `small` and 312 on `paper`. Here neighbouring factors of one size are one tensor.
Log-probabilities, entropies and modes are its own; samples have the same law, but other random numbers.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, Self

import torch
from stable_baselines3.common.distributions import MultiCategoricalDistribution
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor


class BatchedMultiCategorical(MultiCategoricalDistribution):
    """`MultiCategoricalDistribution` without a loop over factors: a tensor (B, count, size) per run of equal sizes.

    Args:
        action_dims: sizes of the factors.
    """

    def __init__(self, action_dims: list[int]) -> None:
        super().__init__(action_dims)
        self._runs = [(size, len(list(group))) for size, group in groupby(int(size) for size in action_dims)]
        self._logs: list[Tensor] = []

    def proba_distribution(self, action_logits: Tensor) -> Self:
        """Take unnormalised logits (B, sum of sizes)."""
        parts = torch.split(action_logits, [size * count for size, count in self._runs], dim=1)
        shaped = [part.reshape(-1, count, size) for part, (size, count) in zip(parts, self._runs, strict=True)]
        self._logs = [torch.log_softmax(part, -1) for part in shaped]
        return self

    def _chosen(self, actions: Tensor) -> list[Tensor]:
        """Log-probabilities of each factor's value, (B, count) per run."""
        columns = torch.split(actions.long(), [count for _, count in self._runs], dim=1)
        return [part.gather(-1, column[..., None])[..., 0] for part, column in zip(self._logs, columns, strict=True)]

    def log_prob(self, actions: Tensor) -> Tensor:
        """(B,) of actions (B, factors)."""
        return torch.stack([each.sum(-1) for each in self._chosen(actions)]).sum(0)

    def log_probs(self, actions: Tensor) -> Tensor:
        """(B, factors) of actions (B, factors), factor by factor."""
        return torch.cat(self._chosen(actions), dim=1)

    def entropy(self) -> Tensor:
        """(B,)."""
        return -torch.stack([(part * part.exp()).sum((-1, -2)) for part in self._logs]).sum(0)

    def sample(self) -> Tensor:
        """(B, factors)."""
        drawn = [torch.multinomial(part.exp().flatten(0, 1), 1).view(part.shape[:-1]) for part in self._logs]
        return torch.cat(drawn, dim=1)

    def mode(self) -> Tensor:
        """(B, factors)."""
        return torch.cat([part.argmax(-1) for part in self._logs], dim=1)


class BatchedMultiInputPolicy(MultiInputActorCriticPolicy):
    """PPO's policy for dictionary observations with `BatchedMultiCategorical`; elsewhere it is SB3's own."""

    def _build(self, lr_schedule: Schedule) -> None:
        if isinstance(self.action_dist, MultiCategoricalDistribution):
            self.action_dist = BatchedMultiCategorical(self.action_dist.action_dims)
        super()._build(lr_schedule)


# What a recipe's `policy` may name beside SB3's own, by algorithm.
POLICIES: dict[str, dict[str, Any]] = {
    "ppo": {"BatchedMultiInputPolicy": BatchedMultiInputPolicy},
}

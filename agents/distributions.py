"""MultiDiscrete actions as one batched distribution.

Stable-Baselines3 and sb3-contrib keep one `Categorical` object per factor and loop over them; an action of
`DMoE-JESA-v0` has 28 factors on `small` and 312 on `paper`. Here neighbouring factors of one size are one tensor.
Log-probabilities, entropies and modes are theirs; samples have the same law, but other random numbers.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any, Self

import numpy as np
import torch
from sb3_contrib.common.maskable.distributions import MaskableMultiCategoricalDistribution, MaybeMasks
from sb3_contrib.common.maskable.policies import MaskableMultiInputActorCriticPolicy
from stable_baselines3.common.distributions import MultiCategoricalDistribution
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor

# As sb3-contrib does: a row without any feasible value stays finite (and uniform).
MASKED_LOGIT = -1e8


class _Runs:
    """Log-probabilities of F independent factors, one tensor (B, count, size) per run of equally large factors."""

    def __init__(self, sizes: list[int]) -> None:
        self.runs = [(size, len(list(group))) for size, group in groupby(int(size) for size in sizes)]
        self.widths = [size * count for size, count in self.runs]
        self.logits: list[Tensor] = []
        self.masks: list[Tensor] | None = None

    def split(self, flat: Tensor) -> list[Tensor]:
        """(B, sum of sizes) as one tensor per run."""
        parts = torch.split(flat, self.widths, dim=1)
        return [part.reshape(-1, count, size) for part, (size, count) in zip(parts, self.runs, strict=True)]

    def set(self, logits: Tensor, masks: Tensor | None = None) -> None:
        """Take unnormalised logits (B, sum of sizes), and masks of the same shape."""
        parts = self.split(logits)
        self.masks = None if masks is None else self.split(masks)
        if self.masks is not None:
            parts = [part.masked_fill(~mask, MASKED_LOGIT) for part, mask in zip(parts, self.masks, strict=True)]
        self.logits = [torch.log_softmax(part, -1) for part in parts]

    def chosen(self, actions: Tensor) -> list[Tensor]:
        """Log-probabilities of each factor's value, (B, count) per run."""
        columns = torch.split(actions.long(), [count for _, count in self.runs], dim=1)
        return [part.gather(-1, column[..., None])[..., 0] for part, column in zip(self.logits, columns, strict=True)]

    def log_prob(self, actions: Tensor) -> Tensor:
        return torch.stack([each.sum(-1) for each in self.chosen(actions)]).sum(0)

    def entropy(self) -> Tensor:
        terms = [part * part.exp() for part in self.logits]
        if self.masks is not None:
            terms = [term * mask for term, mask in zip(terms, self.masks, strict=True)]
        return -torch.stack([term.sum((-1, -2)) for term in terms]).sum(0)

    def sample(self) -> Tensor:
        drawn = [torch.multinomial(part.exp().flatten(0, 1), 1).view(part.shape[:-1]) for part in self.logits]
        return torch.cat(drawn, dim=1)

    def mode(self) -> Tensor:
        return torch.cat([part.argmax(-1) for part in self.logits], dim=1)


class BatchedMultiCategorical(MultiCategoricalDistribution):
    """`MultiCategoricalDistribution` without a loop over factors.

    Args:
        action_dims: sizes of the factors.
    """

    def __init__(self, action_dims: list[int]) -> None:
        super().__init__(action_dims)
        self._runs = _Runs(action_dims)

    def proba_distribution(self, action_logits: Tensor) -> Self:
        """Take logits (B, sum of sizes)."""
        self._runs.set(action_logits)
        return self

    def log_prob(self, actions: Tensor) -> Tensor:
        """(B,) of actions (B, factors)."""
        return self._runs.log_prob(actions)

    def log_probs(self, actions: Tensor) -> Tensor:
        """(B, factors) of actions (B, factors), factor by factor."""
        return torch.cat(self._runs.chosen(actions), dim=1)

    def entropy(self) -> Tensor:
        """(B,)."""
        return self._runs.entropy()

    def sample(self) -> Tensor:
        """(B, factors)."""
        return self._runs.sample()

    def mode(self) -> Tensor:
        """(B, factors)."""
        return self._runs.mode()


class BatchedMaskableMultiCategorical(MaskableMultiCategoricalDistribution):
    """`MaskableMultiCategoricalDistribution` without a loop over factors.

    Args:
        action_dims: sizes of the factors.
    """

    def __init__(self, action_dims: list[int]) -> None:
        super().__init__(action_dims)
        self._runs = _Runs(action_dims)
        self._given: Tensor | None = None

    def proba_distribution(self, action_logits: Tensor) -> Self:
        """Take logits (B, sum of sizes)."""
        self._given = action_logits.view(-1, sum(self.action_dims))
        self._runs.set(self._given)
        return self

    def apply_masking(self, masks: MaybeMasks) -> None:
        """Take masks (B, sum of sizes), or None for no masks."""
        assert self._given is not None, "proba_distribution comes first"
        if masks is not None:
            masks = torch.as_tensor(np.asarray(masks), dtype=torch.bool).reshape(self._given.shape)
        self._runs.set(self._given, masks)

    def log_prob(self, actions: Tensor) -> Tensor:
        """(B,) of actions (B, factors)."""
        return self._runs.log_prob(actions.view(-1, len(self.action_dims)))

    def entropy(self) -> Tensor:
        """(B,)."""
        return self._runs.entropy()

    def sample(self) -> Tensor:
        """(B, factors)."""
        return self._runs.sample()

    def mode(self) -> Tensor:
        """(B, factors)."""
        return self._runs.mode()


class BatchedMultiInputPolicy(MultiInputActorCriticPolicy):
    """PPO's policy for dictionary observations with `BatchedMultiCategorical`; elsewhere it is SB3's own."""

    def _build(self, lr_schedule: Schedule) -> None:
        if isinstance(self.action_dist, MultiCategoricalDistribution):
            self.action_dist = BatchedMultiCategorical(self.action_dist.action_dims)
        super()._build(lr_schedule)


class BatchedMaskableMultiInputPolicy(MaskableMultiInputActorCriticPolicy):
    """MaskablePPO's policy for dictionary observations with `BatchedMaskableMultiCategorical` likewise."""

    def _build(self, lr_schedule: Schedule) -> None:
        if type(self.action_dist) is MaskableMultiCategoricalDistribution:
            self.action_dist = BatchedMaskableMultiCategorical(self.action_dist.action_dims)
        super()._build(lr_schedule)


# What a recipe's `policy` may name beside SB3's own, by algorithm.
POLICIES: dict[str, dict[str, Any]] = {
    "ppo": {"BatchedMultiInputPolicy": BatchedMultiInputPolicy},
    "maskable_ppo": {"BatchedMultiInputPolicy": BatchedMaskableMultiInputPolicy},
}

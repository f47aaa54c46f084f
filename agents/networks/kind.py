"""What a recipe's `network` may be beside widths of hidden layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stable_baselines3.common.policies import BasePolicy

from dmoe_gym.config import StrictConfig
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

if TYPE_CHECKING:
    from agents.config import TrainingConfig


class NetworkKind(StrictConfig):
    """Base class of networks that recipes name; a subclass adds its own fields.

    Attributes:
        kind: the name that it is registered under (`agents.register`).
    """

    kind: str

    def check(self, recipe: TrainingConfig) -> None:
        """Refuse a recipe that this network cannot be part of; by default none is refused.

        Raises:
            ValueError: naming field, value and what is valid.
        """

    def policy(self, recipe: TrainingConfig, env: BatchedVecEnv) -> tuple[type[BasePolicy] | str, Mapping[str, Any]]:
        """Stable-Baselines3's policy for the recipe's algorithm, a class or a name, and its keyword arguments.

        Args:
            recipe: what is trained.
            env: the environments without wrappers.

        Raises:
            ValueError: if the network cannot act there, saying why.
        """
        raise NotImplementedError

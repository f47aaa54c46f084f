"""One environment with a vector of rewards, as MO-Gymnasium's wrappers and learners take it."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from dmoe_gym.facades.single import SingleEnv


class MultiObjectiveEnv(SingleEnv):
    """The same episodes with what is spent and what is lost apart: minus energy or latency in the unit of the cost, and
    minus the shortfall or the share of wrong answers.

    The product with `reward_weights`, which are 1 and the configuration's price, is the scalar environment's reward to
    the last bit (MO-Gymnasium's `LinearReward`). For that the entries may be off by their last digits.

    Attributes:
        reward_space: Box (2,) float64.
        reward_weights: (2,) float64.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.__doc__ = f"{type(self).__doc__}\n\n{self.__doc__}"
        self.reward_space = spaces.Box(-np.inf, 0.0, (2,), np.float64)
        self.reward_weights = np.array([1.0, self.core.priced(0)[1]])

    def step(self, action: Any) -> tuple[Any, np.ndarray, bool, bool, dict[str, Any]]:  # type: ignore[override]
        """As `SingleEnv.step`, with a reward (2,) float64."""
        observation, reward, terminated, truncated, info = super().step(action)
        lost, price = self.core.priced(0)
        vector = np.array([min(0.0, reward + price * lost), 0.0 - lost])
        # half way between two numbers a sum becomes the even one, whatever is spent: then what is lost gives way
        while np.dot(vector, self.reward_weights) != reward:
            vector[1] = np.nextafter(vector[1], 0.0)
            vector[0] = min(0.0, reward - price * vector[1])
        return observation, vector, terminated, truncated, info

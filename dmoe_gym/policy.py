"""The one protocol of every policy, analytic or learned: Stable-Baselines3's `predict`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np


class Policy(Protocol):
    """Acts on the observation alone, for one environment or a batch (a leading axis on every key)."""

    def predict(
        self,
        observation: Mapping[str, np.ndarray],
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """The action(s), and what the policy wants to be handed back with the next observation."""
        ...

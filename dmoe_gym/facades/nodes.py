"""Every node of every environment as a row of a Stable-Baselines3 `VecEnv`: one policy for all nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from dmoe_gym.actions import ActionCheck
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

# Where learners have every node for a row, and the ids that have nodes at all.
NODES_ID = "DMoE-Nodes-Residual-v0"
_VALID = ("DMoE-Nodes-v0", NODES_ID)


class NodesVecEnv(BatchedVecEnv):
    """The nodes of a batch of environments side by side: row K i + k is node k of environment i.

    A row observes, does and earns what agent "node_k" of `dmoe_gym.parallel_env` does in the same episode; arguments
    are as in `BatchedVecEnv`, of which `num_envs` counts environments. Rows of one environment end together.

    Raises:
        ValueError: as `BatchedVecEnv`, and for an id without nodes.
    """

    core: Any

    def __init__(self, env_id: str, *arguments: Any, **options: Any) -> None:
        if env_id not in _VALID:
            raise ValueError(f"env_id = {env_id!r}: valid are {' and '.join(_VALID)}")
        super().__init__(env_id, *arguments, **options)

    @property
    def rows_each(self) -> int:
        """K."""
        return int(self.core.config.num_experts)

    def _spaces(self) -> tuple[Any, Any]:
        observed, acted = self.core.node_observation_space(), self.core.node_action_space()
        self._check = ActionCheck(acted, self.core.num_envs * self.rows_each)
        return observed, acted

    def _checked(self, actions: Any) -> np.ndarray:
        checked = self._check(actions)
        return self.core.joined(checked.reshape(self.core.num_envs, self.rows_each, *checked.shape[1:]))

    def _seen(self) -> Any:
        alone, views = self.core.alone, self.core.node_views()
        copies = {key: np.array(values).reshape(-1, *values.shape[2:]) for key, values in views.items()}
        return copies if alone is None else copies[alone]

    def _last_seen(self, environments: np.ndarray) -> list[Any]:
        alone, views = self.core.alone, self.core.node_views()
        parts = {key: values[environments].reshape(-1, *values.shape[2:]) for key, values in views.items()}
        if alone is not None:
            return list(parts[alone])
        return [dict(zip(parts, row, strict=True)) for row in zip(*parts.values(), strict=True)]

    def _rewards(self) -> np.ndarray:
        return self.core.node_rewards

"""A scheduler for DMoE-Inference-v0 that knows how important each layer and hidden state is."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from dmoe_gym.dmoe.env.inference import LOG_STATE_FACTOR
from dmoe_gym.dmoe.inference import InferenceConfig
from dmoe_gym.dmoe.physics import Constants
from dmoe_gym.policy import BatchPolicy

# what is known of a hidden state, beside a constant: three of four positions, and its gate scores
FEATURES = 1 + 3 + 3
# curvature of the worth of relevance, one per layer
CURVATURE = 1


def parameter_count(layers: int) -> int:
    """Parameters of a policy."""
    return layers * (FEATURES + CURVATURE)


def start(layers: int) -> np.ndarray:
    """Importance that falls by 30 % per layer, and worth that saturates with relevance, for all states alike."""
    table = np.zeros((layers, FEATURES + CURVATURE))
    table[:, 0] = np.log(6.0) - 0.35 * np.arange(layers)
    table[:, FEATURES] = 1.5
    return table.ravel()


class ImportancePolicy(BatchPolicy):
    """Every hidden state takes the expert set of largest importance * worth(relevance) - energy.

    importance = exp(w_l . features) of layer l and hidden state; worth(r) = 1 - (1 - r)^p_l with a learned p_l > 1;
    energies over every link's best subcarrier. The set's relevance becomes the hidden state's threshold, so JESA
    inside the environment finds the cheapest set that reaches it, subcarriers assigned.

    Args:
        config: of the environment.
        parameters: (parameters,), or (B, parameters) to let every row of a batch follow its own.
        scale: factor on all importances: more of it buys accuracy with energy.
    """

    key, dimensions = "gate_scores", 3

    def __init__(self, config: InferenceConfig, parameters: np.ndarray, scale: float = 1.0) -> None:
        self.config = config
        self.parameters = np.asarray(parameters, float)
        self.scale = scale
        self._transmission = Constants.of(config).transmission
        experts = range(config.num_experts)
        sets = [chosen for size in range(1, config.max_experts + 1) for chosen in combinations(experts, size)]
        self._sets = np.array([[float(j in chosen) for j in experts] for chosen in sets])

    def actions(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        scores = batch["gate_scores"].astype(float)
        size, nodes, states, _ = scores.shape
        layer = np.rint(batch["progress"][:, 0] * self.config.num_layers).astype(np.int64) - 1
        table = self.parameters.reshape(-1, self.config.num_layers, FEATURES + CURVATURE)
        weights = table[np.arange(size) % len(table), layer]
        worth = self._worth(scores, weights)
        with np.errstate(divide="ignore"):
            energy = self._transmission / batch["spectral_efficiency"].max(-1).astype(float)
        energy[:, np.arange(nodes), np.arange(nodes)] = 0.0
        energy = np.minimum(energy, 1e6) + batch["computation_energy"][:, None].astype(float)
        spent = energy @ self._sets.T
        best = (worth - spent[:, :, None]).argmax(-1)
        relevance = (scores @ self._sets.T).reshape(-1, len(self._sets))[np.arange(best.size), best.ravel()]
        # a little less, so that rounding leaves the set in
        wanted = np.maximum(relevance.reshape(best.shape) * (1 - 1e-5), 1e-6)
        factor = np.log(wanted / np.maximum(batch["threshold"].astype(float)[:, :, None], 1e-6)) / LOG_STATE_FACTOR
        action = np.zeros((size, nodes * (nodes - 1) + nodes * states), np.float32)
        action[:, nodes * (nodes - 1) :] = np.clip(factor, -1, 1).reshape(size, -1)
        return action

    def _worth(self, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(B, K, N, sets), from gate scores (B, K, N, K) and the layers' parameters (B, features + 1)."""
        entropy = -(scores * np.log(np.maximum(scores, 1e-9))).sum(-1)
        known = [entropy - 1.0, scores.max(-1) - 0.5, entropy.mean(-1, keepdims=True) - 1.0 + 0 * entropy]
        position = np.concatenate([np.zeros((len(weights), 1)), weights[:, 1:4]], axis=1)
        logarithm = weights[:, 0, None, None] + position[:, None]
        for place, feature in enumerate(known):
            logarithm = logarithm + weights[:, 4 + place, None, None] * feature
        importance = self.scale * np.exp(np.clip(logarithm, -8, 8))
        power = 1 + np.logaddexp(0, 4 * weights[:, FEATURES] - 4)
        missing = np.clip(1 - scores @ self._sets.T, 0, 1)
        return importance[..., None] * (1 - missing ** power[:, None, None, None])

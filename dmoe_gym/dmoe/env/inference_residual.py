"""DMoE-Inference-Residual-v0: an action corrects JESA's prices and thresholds while a real model answers.

Residual policy learning (Silver et al., arXiv 1812.06298; Johannink et al., arXiv 1812.03201)."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from gymnasium import spaces

from dmoe_gym.dmoe.env.inference import InferenceCore
from dmoe_gym.dmoe.inference import InferenceConfig
from dmoe_gym.residual import FeatureCore, feature_names

# One of each per node, and what it means.
NODE_FEATURES = MappingProxyType(
    {
        "demand": "K times its expert's mean gate score over all hidden states of this layer, less 1",
        "own_demand": "K times its own hidden states' mean gate score for its own expert, less 1",
        "first": "mean over its hidden states of the largest gate score",
        "second": "the same of the second largest",
        "computation": "its energy per hidden state over the mean node's, less 1",
        "sending": "log of the mean energy of its links to others, on their best subcarriers, over a link of gain 1",
        "receiving": "the same of others' links to it",
    }
)
GLOBAL_FEATURES = MappingProxyType(
    {
        "threshold": "as in `DMoE-JESA-v0`",
        "progress": "as in `DMoE-JESA-v0`",
        "first_layer": "1 in an episode's first layer",
        "last_layer": "1 in its last one",
    }
)
LEAST = 1e-3  # efficiencies below count as this


class InferenceResidualCore(FeatureCore, InferenceCore):
    """One step corrects JESA, which decides a layer of a real model; action 0 is it, with z and gamma as configured.

    Stock learners take the one flat vector that is observed: features of order one, clipped to +-5, whose length
    depends on K alone; `env.unwrapped.feature_names` names them. All are functions of the present observation of
    `DMoE-Inference-v0`.
    """

    entries = MappingProxyType(
        {
            "price": "K: energy of the links into node i is multiplied by 4^entry",
            "relevance": "1: every hidden state's threshold is multiplied by 4^entry (at most 1)",
            "threshold": "K: the same of node i's own hidden states, on top",
        }
    )
    features_told = MappingProxyType({"every node": NODE_FEATURES, "all": GLOBAL_FEATURES})
    meaning = MappingProxyType({"features": "(7*K + 4,): 7 features of every node, feature after feature, 4 of all"})
    config: InferenceConfig

    def __init__(self, num_envs: int, config: InferenceConfig) -> None:
        self.config = config
        config.residual.only()
        self._make_features(num_envs)
        super().__init__(num_envs, config)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the entries of an observation mean: "demand[3]" is of node 3."""
        return feature_names(NODE_FEATURES, self.config.num_experts, GLOBAL_FEATURES)

    def _action_space(self) -> spaces.Space:
        return spaces.Box(-1, 1, (2 * self.config.num_experts + 1,), np.float32)

    def _decide(self, actions: np.ndarray, rows: np.ndarray) -> None:
        """As `InferenceCore`, with the entries of links and hidden states that these of nodes stand for."""
        nodes, states = self.config.num_experts, self.config.num_states
        price, relevance, own = np.split(actions, [nodes, nodes + 1], axis=1)
        links = np.broadcast_to(price[:, None], (len(actions), nodes, nodes))[:, ~np.eye(nodes, dtype=np.bool_)]
        thresholds = np.clip(relevance + own, -1, 1).repeat(states, axis=1)
        super()._decide(np.concatenate([links, thresholds], axis=1), rows)

    def _observe_round(self, rows: np.ndarray, first: bool = False, gains: bool = False, scores: bool = False) -> None:
        super()._observe_round(rows, first, gains, scores)
        seen = self._observed(rows)
        nodes, scores_of = self.config.num_experts, seen["gate_scores"]
        own = scores_of.mean(2)[:, range(nodes), range(nodes)]
        best = np.partition(scores_of, nodes - 2, axis=3)[..., -2:].mean(2)
        others = ~np.eye(nodes, dtype=np.bool_)
        dear = np.where(others, 1 / np.maximum(seen["spectral_efficiency"].max(3), LEAST), 0) / (nodes - 1)
        unit = 1 / np.log2(1 + self.constants.snr_per_gain)
        computation = seen["computation_energy"]
        parts = [
            nodes * scores_of.mean((1, 2)) - 1,
            nodes * own - 1,
            best[..., 1],
            best[..., 0],
            computation / np.maximum(computation.mean(1, keepdims=True), 1e-12) - 1,
            np.log(dear.sum(2) / unit),
            np.log(dear.sum(1) / unit),
            seen["threshold"],
            seen["progress"],
            np.full((len(rows), 1), float(first)),
            seen["progress"] >= 1 - 0.5 / self.config.num_layers,
        ]
        self._write(rows, parts)

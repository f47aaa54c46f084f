"""DMoE-Nodes-Residual-v0: every node corrects the strongest rule by which nodes schedule for themselves."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from gymnasium import spaces

from dmoe_gym.channel import BlockageConfig
from dmoe_gym.dmoe.config import NodesConfig
from dmoe_gym.dmoe.env.joint import encode_joint
from dmoe_gym.dmoe.env.nodes import Nodes, NodesCore, settle_nodes
from dmoe_gym.dmoe.schedulers.nodes import NodeCorrections, Shares
from dmoe_gym.policy import Remembered, remembered
from dmoe_gym.residual import LARGEST, FeatureCore, feature_names

# One of each per expert, as the node sees it, and what it means.
EXPERT_FEATURES = MappingProxyType(
    {
        "score": "mean gate score of the node's hidden states for it",
        "best_score": "the largest of them",
        "rate": "spectral efficiency of the link to it on the best subcarrier of the node's share, over 4 bit/s/Hz",
        "best_rate": "the same on the best of all subcarriers",
        "computation": "its energy per hidden state over the mean, less 1",
        "own": "1 for the node's own expert",
        "asked": "1 if one of its hidden states asked it in the last round",
        "arrived": "1 if it served one",
        "outcomes": "half the sum over rounds of 1 for served, -1 for asked in vain, each counting 0.8 of the next one",
        "blocked": "probability that the link is blocked, by the filter underneath; 0 under a rule without one",
        "in_doubt": "4 p (1 - p) of that probability p",
    }
)
# Of the node itself.
OWN_FEATURES = MappingProxyType(
    {
        "threshold": "as in `DMoE-JESA-v0`",
        "progress": "as in `DMoE-JESA-v0`",
        "owns_rest": "1 if it has one of the subcarriers that do not come out even",
        "short": "5 times its shortfall of the last round",
        "short_before": "twice the sum over rounds of its shortfall, each counting 0.8 of the next one",
    }
)
FADES = 0.8
# What an action of 1 multiplies by (this project's choice).
PRICE_FACTOR, CAUTION_FACTOR = 8.0, 8.0


class NodeResidualCore(FeatureCore, NodesCore):
    """Every node corrects what fixed shares with DES inside each would do; action 0 is that rule, bit for bit.

    Where links are blocked and deliveries are told the rule trusts a filter of the node's own links. As one environment
    it has all nodes' features and actions, node after node; `dmoe_gym.facades.nodes.NodesVecEnv` makes each a row. With
    `residual={"reward": "saving"}` a reward is what the round costs less than it would under action 0.
    """

    features_told = MappingProxyType({"every expert of every node": EXPERT_FEATURES, "every node": OWN_FEATURES})
    meaning: Mapping[str, str] = MappingProxyType(
        {"features": "(11*K*K + 5*K,): node after node, 11 features of each expert, feature by feature, 5 of its own"}
    )

    def __init__(self, num_envs: int, config: NodesConfig) -> None:
        self.config = config
        if config.observe != "own":
            raise ValueError(f"observe = {config.observe!r}: valid where nodes correct their rule is 'own'")
        config.residual.only("reward")
        blocked = isinstance(config.channel, BlockageConfig) and config.acknowledged and not config.csi.is_perfect
        self.underneath = Shares(config, blocked)
        experts = config.num_experts
        self.kinds = 2 if blocked else 1
        self.features = np.zeros((num_envs, experts * len(self.feature_names)), np.float32)
        self.outcomes = np.zeros((num_envs, experts, experts))
        self.short = np.zeros((num_envs, experts))
        self.remembered: Remembered = {}
        self.base = Nodes.empty(num_envs, config)
        entries = {
            "price": f"K*K: of node i, what expert j's computation takes is multiplied by {PRICE_FACTOR:g}^entry",
            "boldness": "K: above 0 the node may use what does not come out even in shares, below 0 it cedes its own",
        }
        if blocked:
            entries["caution"] = f"K*K: the odds that link i to j is blocked, times {CAUTION_FACTOR:g}^entry"
        self.entries = entries
        super().__init__(num_envs, config)

    def _action_space(self) -> spaces.Space:
        experts = self.config.num_experts
        return spaces.Box(-1, 1, (experts * (self.kinds * experts + 1),), np.float32)

    def node_observation_space(self) -> spaces.Space:
        return spaces.Box(-LARGEST, LARGEST, (len(self.feature_names),), np.float32)

    def node_views(self) -> dict[str, np.ndarray]:
        return {"features": self.features.reshape(self.num_envs, self.config.num_experts, -1)}

    def node_action_space(self) -> spaces.Space:
        return spaces.Box(-1, 1, (self.kinds * self.config.num_experts + 1,), np.float32)

    def joined(self, actions: np.ndarray) -> np.ndarray:
        return actions.reshape(len(actions), -1)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the entries of a node's observation mean: "score[3]" is of expert 3."""
        return feature_names(EXPERT_FEATURES, self.config.num_experts, OWN_FEATURES)

    @property
    def entry_names(self) -> tuple[str, ...]:
        return tuple(f"node_{node}.{name}" for node in range(self.config.num_experts) for name in self.feature_names)

    def corrections(self, actions: np.ndarray) -> NodeCorrections:
        """What actions (B, K x entries), node after node, mean."""
        experts = self.config.num_experts
        exponents = actions.reshape(len(actions), experts, -1).astype(np.float64)
        prices, boldness, caution = np.split(exponents, [experts, experts + 1], axis=2)
        factors = CAUTION_FACTOR**caution if self.kinds == 2 else np.ones_like(prices)
        return NodeCorrections(PRICE_FACTOR**prices, boldness[..., 0], factors)

    def step(self, actions: np.ndarray, rows: np.ndarray) -> None:
        everyone = len(rows) == self.num_envs
        seen = {key: values if everyone else values[rows] for key, values in (self.inputs | self.remembered).items()}
        saving = self.config.residual.reward == "saving"
        if saving:
            selected, subcarrier = self.underneath.schedule(seen)
            self._settle(rows, selected, subcarrier, self.base, dry=True)
        selected, subcarrier = self.underneath.corrected(seen, self.corrections(actions[rows]))
        self._settle(rows, selected, subcarrier, self.nodes)
        if saving:
            self.rewards[rows] += self.base.cost[rows].sum(1)
        self._finish_round(rows)

    def _settle(
        self, rows: np.ndarray, selected: np.ndarray, subcarrier: np.ndarray, nodes: Nodes, dry: bool = False
    ) -> None:
        """Charge schedules of the environments in `rows`; a `dry` run leaves batteries and budgets as they are."""
        joint = encode_joint(selected, subcarrier)
        actions = np.zeros((self.num_envs, joint.shape[1]), np.int64)
        actions[rows] = joint
        kept = self.account.copy() if dry else None
        settle_nodes(
            len(rows), rows, actions, self.config.collision == "lost", self.constants, self.lasting, self.rules,
            self.batch, nodes,
        )  # fmt: skip
        if kept is not None:
            self.account[:] = kept

    @property
    def node_rewards(self) -> np.ndarray:
        if self.config.reward == "own" and self.config.residual.reward == "saving":
            return self.base.cost - self.nodes.cost
        return super().node_rewards

    def _observe_round(self, rows: np.ndarray, first: bool = False, gains: bool = False, scores: bool = False) -> None:
        if first:
            self.outcomes[rows] = 0
            self.short[rows] = 0
        else:
            asked, arrived = self.nodes.asked[rows].any(2), self.nodes.arrived[rows].any(2)
            told = np.where(asked, np.where(arrived, 1.0, -1.0), 0.0)
            self.outcomes[rows] = FADES * self.outcomes[rows] + told
            self.short[rows] = FADES * self.short[rows] + self.nodes.shortfall[rows]
        super()._observe_round(rows, first, gains, scores)
        self.remembered = remembered(self.underneath, self.remembered, self.inputs, rows)
        self._write(rows, self._features(rows))

    def _features(self, rows: np.ndarray) -> list[np.ndarray]:
        config, seen = self.config, {key: values[rows] for key, values in self.inputs.items()}
        scores, rates = seen["gate_scores"], seen["spectral_efficiency"]
        shape = (len(rows), config.num_experts, config.num_experts)
        blocked = self.remembered["blocked"][rows] if self.remembered else np.zeros(shape)
        computation = np.broadcast_to(seen["computation_energy"][:, None, :], shape)
        of_experts: list[Any] = [
            scores.mean(2), scores.max(2),
            np.where(self.underneath.mine[None, :, None, :], rates, 0).max(-1) / 4, rates.max(-1) / 4,
            computation - 1, np.broadcast_to(np.eye(config.num_experts), shape),
            seen["asked"].any(2), seen["arrived"].any(2), self.outcomes[rows] / 2, blocked, 4 * blocked * (1 - blocked),
        ]  # fmt: skip
        nodes = shape[:2]
        owns = (self.underneath.mine & self.underneath.rest).any(1)
        of_node = [
            np.broadcast_to(seen["threshold"], nodes), np.broadcast_to(seen["progress"], nodes),
            np.broadcast_to(owns, nodes), 5 * self.nodes.shortfall[rows], 2 * self.short[rows],
        ]  # fmt: skip
        by_node = np.concatenate([np.concatenate(of_experts, -1), np.stack(of_node, -1)], -1)
        return [by_node.reshape(len(rows), -1)]

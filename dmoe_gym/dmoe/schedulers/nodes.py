"""Rules by which every node schedules its own hidden states from what it sees itself and from its past alone.

All plan by `solvers.nodes.plan_node`; they differ in which subcarriers a node may use. Only an auction hears others.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.schedulers.blockage import FilterJESA
from dmoe_gym.dmoe.schedulers.scheduler import Observation, Scheduler, nothing_planned, seen
from dmoe_gym.dmoe.solvers.blockage import as_if_clear
from dmoe_gym.dmoe.solvers.nodes import plan_nodes
from dmoe_gym.policy import Remembered


def owners(experts: int, subcarriers: int) -> np.ndarray:
    """(M,) whose share every subcarrier is in: in turn, so that the first nodes have what does not come out even."""
    return np.arange(subcarriers) % experts


class NodeCorrections(NamedTuple):
    """What nodes believe otherwise; `prices` and `caution` of 1 and `boldness` of 0 change nothing, not even a bit.

    Attributes:
        prices: (B, K, K) factors on what node i believes expert j's computation to take.
        boldness: (B, K) from -1 to 1. Above 0 a node may use the subcarriers that do not come out even in shares, which
            others own, at a toll of `DEAREST` falling to `CHEAPEST`; below 0 it pays up to `CEDED` for its own of them.
        caution: (B, K, K) factors on the odds that link i to j is blocked.
    """

    prices: np.ndarray
    boldness: np.ndarray
    caution: np.ndarray

    @classmethod
    def none(cls, batch: int, experts: int) -> NodeCorrections:
        """Of nothing."""
        return cls(np.ones((batch, experts, experts)), np.zeros((batch, experts)), np.ones((batch, experts, experts)))


# Tolls of a bold node at boldness 0 and 1, and of one that cedes at -1 [E_ref / (K N D)] (this project's choice).
DEAREST, CHEAPEST, CEDED = 200.0, 25.0, 60.0


class NodeScheduler(Scheduler):
    """Every node plans for itself; a subclass says which subcarriers are open to it, and at what toll."""

    @abstractmethod
    def tolls(self, observation: Observation) -> np.ndarray:
        """(B, K, 1 or K, M) what node i pays for subcarrier m, on its link to j, infinite where it may not use it."""

    def believed(self, observation: Observation, corrections: NodeCorrections) -> tuple[np.ndarray, np.ndarray]:
        """Gate scores (B, K, N, K) and spectral efficiencies (B, K, K, M) by which nodes plan."""
        _, scores, efficiency, _ = seen(observation)
        return scores, efficiency

    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        self.plan(observation, self.tolls(observation), selected, subcarrier)

    def plan(
        self,
        observation: Observation,
        tolls: np.ndarray,
        selected: np.ndarray,
        subcarrier: np.ndarray,
        corrections: NodeCorrections | None = None,
    ) -> np.ndarray:
        """Write the plans of all nodes; returns what every link is worth to its node, (B, K, K) [E_ref / (K N D)]."""
        given = corrections or NodeCorrections.none(len(subcarrier), self.config.num_experts)
        scores, efficiency = self.believed(observation, given)
        size, experts, _, subcarriers = efficiency.shape
        tolls = np.ascontiguousarray(np.broadcast_to(tolls, (size, experts, experts, subcarriers)), np.float64)
        worth = np.zeros(efficiency.shape[:3])
        plan_nodes(
            size, scores, efficiency, observation["threshold"][:, 0], given.prices, tolls, self.constants, selected,
            subcarrier, worth,
        )  # fmt: skip
        return worth


class Shares(NodeScheduler):
    """Fixed orthogonal shares of the subcarriers, DES inside each; where links are blocked, by a filter's beliefs.

    Args:
        filtered: does a node believe a link's scores only as far as it expects it to be clear (`FilterJESA`'s filter,
            from what it sees of its own links and what they delivered)?
    """

    def __init__(self, config: DMoEConfig, filtered: bool = False) -> None:
        super().__init__(config)
        self.filter = FilterJESA(config) if filtered else None
        owner = owners(config.num_experts, config.num_subcarriers)
        self.mine = owner == np.arange(config.num_experts)[:, None]
        # what does not come out even
        self.rest = (
            np.arange(config.num_subcarriers) >= config.num_subcarriers // config.num_experts * config.num_experts
        )
        self.closed = np.where(self.mine, 0.0, np.inf)[None, :, None, :]

    def remember(self, memory: Remembered, observation: Mapping[str, np.ndarray]) -> Remembered:
        return {} if self.filter is None else self.filter.remember(memory, observation)

    def tolls(self, observation: Observation) -> np.ndarray:
        return self.closed

    def corrected(self, observation: Observation, corrections: NodeCorrections) -> tuple[np.ndarray, np.ndarray]:
        """As `schedule`, under corrections."""
        plan = nothing_planned(observation)
        bold = corrections.boldness[:, :, None, None]
        fee = np.where(bold > 0, DEAREST * (CHEAPEST / DEAREST) ** np.maximum(bold, 0), np.inf)
        own = np.where(self.mine, CEDED * np.maximum(-bold[..., 0], 0), fee[..., 0])[:, :, None, :]
        tolls = np.where(self.rest, own, self.closed)
        self.plan(observation, tolls, *plan, corrections)
        return plan

    def believed(self, observation: Observation, corrections: NodeCorrections) -> tuple[np.ndarray, np.ndarray]:
        scores, efficiency = super().believed(observation, corrections)
        if self.filter is None:
            return scores, efficiency
        clear = np.empty_like(efficiency)
        shares = [self.filter.laws[layer - 1].observed_share for layer in self.layers(observation)]
        for row, share in enumerate(shares):
            clear[row] = as_if_clear(efficiency[row], self.constants.snr_per_gain, self.filter.depth, share)
        # a link's scores count as far as it is believed to be clear; a node trusts itself
        odds = corrections.caution * observation["blocked"]
        blocked = odds / (1 - observation["blocked"] + odds)
        chance = 1 - np.where(np.eye(self.config.num_experts, dtype=bool), 0, blocked)
        return (scores * chance[:, :, None, :]).astype(scores.dtype), clear


class Remembering(NodeScheduler):
    """Keeps which subcarrier every link used, and tells which of them were lost.

    Args:
        size: subcarriers that are open to a node at a time; M / K, rounded down, by default.
        seed: of the nodes' own random numbers.
    """

    def __init__(self, config: DMoEConfig, size: int | None = None, seed: int = 0) -> None:
        super().__init__(config)
        self.size = max(1, config.num_subcarriers // config.num_experts) if size is None else size
        self.generator = np.random.default_rng(seed)

    def remember(self, memory: Remembered, observation: Mapping[str, np.ndarray]) -> Remembered:
        asked, arrived = observation["asked"].any(2), observation["arrived"].any(2)
        if not memory:
            size = len(observation["asked"])
            memory = {"used": np.full(observation["spectral_efficiency"].shape[:3], -1, np.int64), **self.nothing(size)}
        first: np.ndarray = self.layers(observation) == 1
        memory["used"][first] = -1
        rows, nodes, links = np.nonzero(memory["used"] >= 0)
        tried = (rows, nodes, links, memory["used"][rows, nodes, links])
        lost = np.asarray(asked & ~arrived)[rows, nodes, links]
        self.learn(memory, first, tried, lost)
        return memory

    def nothing(self, size: int) -> Remembered:
        """The memory before the first round, of so many environments."""
        return {}

    @abstractmethod
    def learn(self, memory: Remembered, first: np.ndarray, tried: tuple[np.ndarray, ...], lost: np.ndarray) -> None:
        """Bring the memory up to date.

        Args:
            first: (B,) bool, where an episode begins.
            tried: environments, nodes, links and subcarriers of the last round's transmissions; lost: which of them.
        """

    def draw(self, shape: tuple[int, ...]) -> np.ndarray:
        """(*shape, M) bool, random sets of `size` subcarriers."""
        order = self.generator.random((*shape, self.config.num_subcarriers)).argsort(-1)
        return order.argsort(-1) < self.size

    def tolls(self, observation: Observation) -> np.ndarray:
        return np.where(observation["open"], 0.0, np.inf)[:, :, None, :]

    def fill(self, observation: Observation, selected: np.ndarray, subcarrier: np.ndarray) -> None:
        super().fill(observation, selected, subcarrier)
        observation["used"][:] = subcarrier


class RandomAccess(Remembering):
    """Slotted ALOHA with exponential back-off: a node draws its subcarriers anew in every round and transmits with
    probability 1 / w; w doubles with a loss, up to 16, and is 1 again with a round without."""

    LARGEST_WINDOW = 16.0

    def nothing(self, size: int) -> Remembered:
        nodes = (size, self.config.num_experts)
        return {"open": np.zeros((*nodes, self.config.num_subcarriers), np.bool_), "window": np.ones(nodes)}

    def learn(self, memory: Remembered, first: np.ndarray, tried: tuple[np.ndarray, ...], lost: np.ndarray) -> None:
        window = memory["window"]
        hit, sent = np.zeros((2, *window.shape), np.bool_)
        sent[tried[0], tried[1]] = True
        hit[tried[0][lost], tried[1][lost]] = True
        window[sent & ~hit] = 1
        window[hit] = np.minimum(2 * window[hit], self.LARGEST_WINDOW)
        window[first] = 1
        transmits = self.generator.random(window.shape) < 1 / window
        memory["open"][:] = self.draw(window.shape) & transmits[..., None]


class Sensing(Remembering):
    """A node keeps its subcarriers as long as they work; of those that were lost it exchanges every one with
    probability 1/2 for one drawn at random."""

    def nothing(self, size: int) -> Remembered:
        return {"open": self.draw((size, self.config.num_experts))}

    def learn(self, memory: Remembered, first: np.ndarray, tried: tuple[np.ndarray, ...], lost: np.ndarray) -> None:
        kept = memory["open"]
        gives_up = lost & (self.generator.random(len(lost)) < 0.5)
        for row, node, m in zip(*(part[gives_up] for part in (tried[0], tried[1], tried[3])), strict=True):
            if kept[row, node, m] and not kept[row, node].all():
                kept[row, node, self.generator.choice(np.flatnonzero(~kept[row, node]))] = True
                kept[row, node, m] = False
        if first.any():
            kept[first] = self.draw((int(first.sum()), self.config.num_experts))


class Bandit(Remembering):
    """UCB1 for every link over the subcarriers (Auer, Cesa-Bianchi, Fischer 2002): a delivery earns 1, a loss 0, and
    what the index lacks of 1 is a toll.

    Args:
        exploration: factor on the width of confidence.
        price: toll of an index of 0 [E_ref / (K N D)]; what a hidden state's whole threshold is worth by default.
    """

    def __init__(self, config: DMoEConfig, exploration: float = 0.3, price: float | None = None) -> None:
        super().__init__(config, config.num_subcarriers)
        self.exploration = exploration
        self.price = self.constants.shortfall_price * config.threshold if price is None else price

    def nothing(self, size: int) -> Remembered:
        arms = (size, self.config.num_experts, self.config.num_experts, self.config.num_subcarriers)
        return {"tries": np.zeros(arms), "deliveries": np.zeros(arms)}

    def learn(self, memory: Remembered, first: np.ndarray, tried: tuple[np.ndarray, ...], lost: np.ndarray) -> None:
        np.add.at(memory["tries"], tried, 1)
        np.add.at(memory["deliveries"], tried, ~lost)
        for counts in (memory["tries"], memory["deliveries"]):
            counts[first] = 0

    def tolls(self, observation: Observation) -> np.ndarray:
        tries = np.maximum(observation["tries"], 1)
        total = observation["tries"].sum(-1, keepdims=True)
        index = observation["deliveries"] / tries + self.exploration * np.sqrt(2 * np.log(np.maximum(total, 1)) / tries)
        return self.price * (1 - np.where(observation["tries"] > 0, np.minimum(index, 1), 1))


class Auction(NodeScheduler):
    """Every node announces what subcarriers are worth to it; the highest bid holds one, at the second bid's price.

    In each announcement nodes plan at the prices of what they do not hold and bid what the links of that plan save.
    After the last one they plan on what they hold. That is communication inside a round, which the other rules do
    without.

    Args:
        announcements: in every round.
    """

    def __init__(self, config: DMoEConfig, announcements: int) -> None:
        super().__init__(config)
        self.announcements = announcements

    def tolls(self, observation: Observation) -> np.ndarray:
        size, _, efficiency, _ = seen(observation)
        experts, subcarriers = efficiency.shape[1], efficiency.shape[3]
        bids = np.zeros((size, experts, subcarriers))
        everyone = np.arange(experts)[:, None]
        holds = np.zeros(bids.shape, np.bool_)
        for _ in range(self.announcements):
            price = np.where(holds, 0.0, bids.max(1, keepdims=True))
            selected, subcarrier = nothing_planned(observation)
            worth = self.plan(observation, price[:, :, None, :], selected, subcarrier)
            rows, nodes, links = np.nonzero(subcarrier >= 0)
            routes = subcarrier[rows, nodes, links]
            bids[rows, nodes, routes] = np.maximum(bids[rows, nodes, routes], worth[rows, nodes, links])
            holds = (bids.argmax(1)[:, None] == everyone) & (bids > 0)
        return np.where(holds, 0.0, np.inf)[:, :, None, :]

"""Analytic schedulers: what a batch of observations lets one decide."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dmoe_gym import policy
from dmoe_gym.wdmoe.config import WDMoEConfig
from dmoe_gym.wdmoe.physics.latency import LN2, latency_batch, token_times_batch, token_unit
from dmoe_gym.wdmoe.solvers.bandwidth import allocate_bandwidth_batch
from dmoe_gym.wdmoe.solvers.greedy import solve_greedy_batch
from dmoe_gym.wdmoe.solvers.priced import PRICINGS, solve_priced_batch
from dmoe_gym.wdmoe.solvers.selection import select_experts_batch


@dataclass(frozen=True, eq=False)
class Observed:
    """What is observed of B blocks.

    Attributes:
        config: the system.
        gate_weights: (B, J, U) float32.
        downlink_cn0, uplink_cn0: (B, U) carrier power over noise density [Hz].
        computation_time: (B, U) [s per token].
        budget: (B,) least mean relevance, in 64 bit.
    """

    config: WDMoEConfig
    gate_weights: np.ndarray
    downlink_cn0: np.ndarray
    uplink_cn0: np.ndarray
    computation_time: np.ndarray
    budget: np.ndarray

    @classmethod
    def of(cls, config: WDMoEConfig, observation: Mapping[str, np.ndarray]) -> Observed:
        """From a batch of observations; undoes the encoding of the links and of the computation times."""
        share = config.bandwidth_hz / config.num_devices
        downlink, uplink = (
            np.expm1(observation[key].astype(np.float64) * LN2) * share
            for key in ("downlink_efficiency", "uplink_efficiency")
        )
        weights = observation["gate_weights"]
        best = np.sort(weights, axis=2)[:, :, -config.max_experts :].astype(np.float64)
        return cls(
            config,
            weights,
            downlink,
            uplink,
            observation["computation_time"].astype(np.float64) * token_unit(config),
            # the observed budget is rounded to 32 bit; the weights tell it exactly
            config.relevance_share * best.sum(axis=2).mean(axis=1),
        )

    @property
    def equal_bandwidth(self) -> np.ndarray:
        """(B, U) [Hz], B / U for every device."""
        return np.full(self.downlink_cn0.shape, self.config.bandwidth_hz / self.config.num_devices)

    def optimal_bandwidth(self, selected: np.ndarray) -> np.ndarray:
        """(B, U) [Hz] for selections (B, J, U)."""
        tokens = selected.sum(axis=1).astype(np.float64)
        bandwidth, total = np.empty(tokens.shape), np.empty(len(tokens))
        allocate_bandwidth_batch(tokens, *self.links, bandwidth, total)
        return bandwidth

    def latency(self, selected: np.ndarray, bandwidth: np.ndarray) -> np.ndarray:
        """Block latency (B,) [s] of selections (B, J, U) under bandwidths (B, U) [Hz]."""
        tokens = selected.sum(axis=1).astype(np.float64)
        total = np.empty(len(tokens))
        latency_batch(tokens, bandwidth, *self.links[:-1], total)
        return total

    def token_times(self, bandwidth: np.ndarray) -> np.ndarray:
        """Time per token on every device (B, U) [s] under bandwidths (B, U) [Hz]."""
        times = np.empty(bandwidth.shape)
        token_times_batch(bandwidth, *self.links[:-1], times)
        return times

    @property
    def links(self) -> tuple[Any, ...]:
        """What solvers need of links and devices: the three (B, U), payload [bit] and bandwidth [Hz]."""
        config = self.config
        return self.downlink_cn0, self.uplink_cn0, self.computation_time, config.payload_bit, config.bandwidth_hz


Bandwidth = Literal["equal", "optimal"]
# Step of the WLR policy's theta search, as `select_experts` has it by default.
THETA_STEP = 0.02


class Scheduler(policy.Scheduler):
    """Selections and bandwidths of whole blocks from what is observed of them.

    Args:
        config: the system.
        bandwidth: "optimal" for the selection, or "equal" shares of all devices with tokens.

    Raises:
        ValueError: for another `bandwidth` or `config`.
    """

    config: WDMoEConfig

    def __init__(self, config: WDMoEConfig, bandwidth: Bandwidth = "optimal") -> None:
        if bandwidth not in ("equal", "optimal"):
            raise ValueError(f"bandwidth = {bandwidth!r}: valid are 'equal', 'optimal'")
        if not isinstance(config, WDMoEConfig):
            raise ValueError(f"config = {config!r:.99}: valid is a WDMoEConfig, as scenario(NAME) gives")
        super().__init__(config)
        self.bandwidth = bandwidth

    def schedule(self, observation: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Selections (B, J, U) bool and bandwidths (B, U) [Hz], 0 for devices without tokens."""
        return self.decide(Observed.of(self.config, observation))

    @abstractmethod
    def decide(self, blocks: Observed) -> tuple[np.ndarray, np.ndarray]:
        """As `schedule`, of blocks in physical units."""

    def share(self, blocks: Observed, selected: np.ndarray) -> np.ndarray:
        """Bandwidths (B, U) [Hz] of a selection."""
        if self.bandwidth == "optimal":
            return blocks.optimal_bandwidth(selected)
        active = selected.any(axis=1)
        return active * (self.config.bandwidth_hz / active.sum(axis=1, keepdims=True))


class TopK(Scheduler):
    """The k experts with the largest gate weights of every token, at most D."""

    def __init__(self, config: WDMoEConfig, bandwidth: Bandwidth = "optimal", k: int = 2) -> None:
        super().__init__(config, bandwidth)
        self.k = min(k, config.max_experts)

    def decide(self, blocks: Observed) -> tuple[np.ndarray, np.ndarray]:
        selected = top_k_batch(blocks, self.k)
        return selected, self.share(blocks, selected)


class WLR(Scheduler):
    """Selection by the weight-to-latency ratio (`select_experts`), by turns with optimal bandwidths (`solve_joint`).

    It runs the cosine-similarity test in both directions and keeps, block by block, what is faster as observed: one
    direction pays with few devices, the other with many, and as a baseline it gets the better of both.
    """

    def decide(self, blocks: Observed) -> tuple[np.ndarray, np.ndarray]:
        below, above = (self._search(blocks, direction) for direction in (False, True))
        slower = blocks.latency(below, self.share(blocks, below)) > blocks.latency(above, self.share(blocks, above))
        selected = np.where(slower[:, None, None], above, below)
        return selected, self.share(blocks, selected)

    def _search(self, blocks: Observed, above: bool) -> np.ndarray:
        if self.bandwidth == "equal":
            return self._select(blocks, blocks.equal_bandwidth, above)
        best = top_k_batch(blocks, self.config.max_experts)
        least = blocks.latency(best, blocks.optimal_bandwidth(best))
        bandwidth = blocks.equal_bandwidth
        improving = np.ones(len(least), np.bool_)
        while improving.any():
            selected = self._select(blocks, bandwidth, above)
            bandwidth = blocks.optimal_bandwidth(selected)
            total = blocks.latency(selected, bandwidth)
            improving &= total < least
            best[improving], least[improving] = selected[improving], total[improving]
        return best

    def _select(self, blocks: Observed, bandwidth: np.ndarray, above: bool) -> np.ndarray:
        selected = np.empty(blocks.gate_weights.shape, np.bool_)
        select_experts_batch(
            blocks.gate_weights,
            blocks.token_times(bandwidth),
            self.config.max_experts,
            above,
            THETA_STEP,
            blocks.budget,
            selected,
        )
        return selected


class Greedy(Scheduler):
    """Selection by bandwidth freed per relevance lost (`solve_greedy`)."""

    def decide(self, blocks: Observed) -> tuple[np.ndarray, np.ndarray]:
        selected = top_k_batch(blocks, self.config.max_experts)
        bandwidth, total = np.empty(blocks.downlink_cn0.shape), np.empty(len(selected))
        solve_greedy_batch(blocks.gate_weights, *blocks.links, blocks.budget, selected, bandwidth, total)
        return selected, bandwidth if self.bandwidth == "optimal" else self.share(blocks, selected)


class Priced(Scheduler):
    """Selection at prices per token of a device, found by pricing again and again (`solve_priced`)."""

    def decide(self, blocks: Observed) -> tuple[np.ndarray, np.ndarray]:
        selected = np.empty(blocks.gate_weights.shape, np.bool_)
        bandwidth, total = np.empty(blocks.downlink_cn0.shape), np.empty(len(selected))
        links, limit = blocks.links, self.config.max_experts
        solve_priced_batch(blocks.gate_weights, *links, limit, blocks.budget, PRICINGS, selected, bandwidth, total)
        return selected, bandwidth if self.bandwidth == "optimal" else self.share(blocks, selected)


class Random(Scheduler):
    """1 to D random experts of every token and random bandwidths, uniform over all shares; from its own generator.

    The environment repairs selections under the relevance budget.
    """

    def __init__(self, config: WDMoEConfig, seed: int = 0) -> None:
        super().__init__(config)
        self.generator = np.random.default_rng(seed)

    def decide(self, blocks: Observed) -> tuple[np.ndarray, np.ndarray]:
        shape = blocks.gate_weights.shape
        ranks = self.generator.random(shape).argsort(axis=2).argsort(axis=2)
        count = self.generator.integers(1, self.config.max_experts, shape[:2], endpoint=True)
        selected = ranks < count[:, :, None]
        shares = self.generator.standard_exponential(blocks.downlink_cn0.shape) * selected.any(axis=1)
        return selected, self.config.bandwidth_hz * shares / shares.sum(axis=1, keepdims=True)


def top_k_batch(blocks: Observed, k: int) -> np.ndarray:
    """The k largest gate weights of every token (the lower index on a tie), (B, J, U) bool."""
    order = np.argsort(-blocks.gate_weights, axis=2, kind="stable")
    return np.argsort(order, axis=2, kind="stable") < k

"""Batches of blocks as they are observed, in physical units again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dmoe_gym.wdmoe.config import WDMoEConfig
from dmoe_gym.wdmoe.physics.cost import token_unit
from dmoe_gym.wdmoe.physics.latency import LN2, latency_batch, token_times_batch
from dmoe_gym.wdmoe.solvers.bandwidth import allocate_bandwidth_batch


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
        allocate_bandwidth_batch(
            tokens, *self._links(), self.config.payload_bit, self.config.bandwidth_hz, bandwidth, total
        )
        return bandwidth

    def latency(self, selected: np.ndarray, bandwidth: np.ndarray) -> np.ndarray:
        """Block latency (B,) [s] of selections (B, J, U) under bandwidths (B, U) [Hz]."""
        tokens = selected.sum(axis=1).astype(np.float64)
        total = np.empty(len(tokens))
        latency_batch(tokens, bandwidth, *self._links(), self.config.payload_bit, total)
        return total

    def token_times(self, bandwidth: np.ndarray) -> np.ndarray:
        """Time per token on every device (B, U) [s] under bandwidths (B, U) [Hz]."""
        times = np.empty(bandwidth.shape)
        token_times_batch(bandwidth, *self._links(), self.config.payload_bit, times)
        return times

    def _links(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.downlink_cn0, self.uplink_cn0, self.computation_time

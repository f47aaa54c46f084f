"""Scheduling at learned prices, from what is observed of a block."""

from __future__ import annotations

import numpy as np

from agents.networks.shared import SharedNetwork
from agents.prices.kernels import INPUTS, Blocks, Settings, schedule_batch
from dmoe_gym.wdmoe import WDMoEConfig
from dmoe_gym.wdmoe.policies import Observed, Scheduler


class PriceScheduler(Scheduler):
    """Selections at prices per token of a device, one network's weights for all devices; bandwidths are optimal.

    The network reads pure numbers and sees the mean over the devices beside each device's own, so it follows
    permutations of devices and tokens, and its weights fit any number of them. Without weights (`parameters` None)
    this is an analytic scheduler: marginal prices at the present latency and loads, damped.

    Args:
        config: the system.
        parameters: (size,) of the network, in the order of `SharedNetwork.shapes`.
        rounds: pricings per block, of which the fastest is kept.
        polish: improve every pricing's selection by the greedy scheduler's changes.
        width: of the network's hidden layer.

    Raises:
        ValueError: for no round, or parameters that do not fit the width.
    """

    def __init__(
        self,
        config: WDMoEConfig,
        parameters: np.ndarray | None = None,
        *,
        rounds: int = 2,
        polish: bool = True,
        width: int = 0,
    ) -> None:
        super().__init__(config)
        if rounds < 1:
            raise ValueError(f"rounds = {rounds}: valid are whole numbers from 1")
        size = network(width).size
        self.parameters = np.zeros(size) if parameters is None else np.asarray(parameters, np.float64)
        if self.parameters.shape != (size,):
            raise ValueError(f"parameters: have shape {self.parameters.shape}, valid at width = {width} is {(size,)}")
        self.settings = settings_of(config, rounds, polish, width)

    def select(self, blocks: Observed) -> np.ndarray:
        return self.schedule(blocks)[0]

    def schedule(self, blocks: Observed) -> tuple[np.ndarray, np.ndarray]:
        selected, bandwidth, *_ = self.traced(blocks)
        return selected, bandwidth

    def traced(self, blocks: Observed) -> tuple[np.ndarray, ...]:
        """Selections, bandwidths, latencies (B,) [s], then of every pricing the network's inputs and the log prices.

        The last two are (B, rounds, U, I) and (B, rounds, U).
        """
        count, rounds, devices = len(blocks.budget), self.settings.rounds, self.config.num_devices
        written = (
            np.empty(blocks.gate_weights.shape, np.bool_),
            np.empty((count, devices)),
            np.empty(count),
            np.empty((count, rounds, devices, INPUTS)),
            np.empty((count, rounds, devices)),
        )
        schedule_batch(self.parameters, Blocks.of(blocks), self.settings, *written)
        return written


def network(width: int) -> SharedNetwork:
    """The network of a hidden layer's width; 0 for a linear map."""
    return SharedNetwork(INPUTS, 1, width)


def settings_of(config: WDMoEConfig, rounds: int, polish: bool, width: int) -> Settings:
    """What compiled code needs to know."""
    return Settings(config.payload_bit, config.bandwidth_hz, config.max_experts, rounds, polish, width)

"""What one MoE block asks of the scheduler (`Block`) and what the scheduler answers (`Allocation`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dmoe_gym.channel.large_scale import path_gain
from dmoe_gym.config import checked_array, checked_bool_array, require_sum_of_one
from dmoe_gym.wdmoe.config import WDMoEConfig

# Wider than any link budget (+-400 dB); inside it every formula of this system stays finite in double precision.
SMALLEST_GAIN, LARGEST_GAIN = 1e-40, 1e40


@dataclass(frozen=True, eq=False)
class Block:
    """One MoE block of one prompt: what the gate wants and what the links and the devices can do.

    Attributes:
        gate_weights: (J, U) gate weight of every expert for every token; each token's add up to one.
        downlink_gains, uplink_gains: (U,) linear channel power gains, path loss included, positive.
        config: the system.
        device_speeds: (U,) C_k [FLOP/s]; None takes the configuration's.

    Raises:
        ValueError: naming the field, its value and what is valid. A zero gain is one: that device cannot be reached.
    """

    gate_weights: np.ndarray
    downlink_gains: np.ndarray
    uplink_gains: np.ndarray
    config: WDMoEConfig = field(repr=False)
    device_speeds: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.config, WDMoEConfig):
            raise ValueError(f"config = {self.config!r}: valid is a WDMoEConfig")
        tokens, devices = self.config.num_tokens, self.config.num_devices
        weights = checked_array("gate_weights", self.gate_weights, (tokens, devices), minimum=0)
        require_sum_of_one("gate_weights", weights)
        object.__setattr__(self, "gate_weights", weights)
        for name in ("downlink_gains", "uplink_gains"):
            value = checked_array(name, getattr(self, name), (devices,), minimum=SMALLEST_GAIN, maximum=LARGEST_GAIN)
            object.__setattr__(self, name, value)
        speeds = self.config.device_speeds if self.device_speeds is None else self.device_speeds
        speeds = checked_array("device_speeds", speeds, (devices,), minimum=1.0)
        object.__setattr__(self, "device_speeds", speeds)

    @cached_property
    def downlink_cn0(self) -> np.ndarray:
        """P_BS g_k / N0, carrier power over noise density in the downlink, (U,) [Hz]."""
        return _read_only(self.config.base_station_power_w * self.downlink_gains / self.config.noise_density)

    @cached_property
    def uplink_cn0(self) -> np.ndarray:
        """P_k g_k / N0, carrier power over noise density in the uplink, (U,) [Hz]."""
        return _read_only(self.config.device_power_w * self.uplink_gains / self.config.noise_density)

    @cached_property
    def computation_time(self) -> np.ndarray:
        """flops / C_k, (U,) [s per token]."""
        return _read_only(self.config.token_flops / np.asarray(self.device_speeds))

    @property
    def links(self) -> tuple[Any, ...]:
        """What solvers need of links and devices: the three (U,) above, payload [bit] and bandwidth [Hz]."""
        config = self.config
        return self.downlink_cn0, self.uplink_cn0, self.computation_time, config.payload_bit, config.bandwidth_hz

    @cached_property
    def relevance_budget(self) -> float:
        """Least mean relevance of a valid allocation: `relevance_share` of what the best experts reach together."""
        best = np.sort(self.gate_weights, axis=1)[:, -self.config.max_experts :]
        return float(self.config.relevance_share * best.sum(axis=1).mean())


@dataclass(frozen=True, eq=False)
class Allocation:
    """A schedule of one block.

    Attributes:
        selected: (J, U) bool, token j goes to device k.
        bandwidth: (U,) bandwidth of every device, used in both directions [Hz], not negative.

    Raises:
        ValueError: naming the field, its value and what is valid.
    """

    selected: np.ndarray
    bandwidth: np.ndarray

    def __post_init__(self) -> None:
        shape = np.shape(self.selected)
        if len(shape) != 2:
            raise ValueError(f"selected: has shape {shape}, valid is (tokens, devices)")
        object.__setattr__(self, "selected", checked_bool_array("selected", self.selected, shape))
        object.__setattr__(self, "bandwidth", checked_array("bandwidth", self.bandwidth, shape[1:], minimum=0.0))

    @cached_property
    def tokens(self) -> np.ndarray:
        """Tokens sent to every device, (U,) int64."""
        return _read_only(self.selected.sum(axis=0))


def require_fit(block: Block, allocation: Allocation) -> None:
    """Refuse an allocation of another size than the block's.

    Raises:
        ValueError: naming the field and both shapes.
    """
    given, valid = allocation.selected.shape, block.gate_weights.shape
    if given != valid:
        raise ValueError(f"allocation.selected: has shape {given}, valid for this block is {valid}")


def mean_relevance(block: Block, selected: np.ndarray) -> float:
    """The gate weights of a token's selected experts added up, averaged over the tokens, in [0, 1]."""
    return float(np.where(selected, block.gate_weights, 0.0).sum(axis=1).mean())


def _read_only(values: np.ndarray | float) -> np.ndarray:
    array = np.asarray(values)
    array.setflags(write=False)
    return array


def draw_block(config: WDMoEConfig, generator: np.random.Generator) -> Block:
    """The first block of a random episode; devices are uniform over the ring between the two distances.

    Downlink and uplink fade independently (frequency division, this project's choice).
    """
    nearest, farthest = config.distance_range_m
    distances = np.sqrt(generator.uniform(nearest**2, farthest**2, config.num_devices))
    fading = config.channel.process(1, (2, config.num_devices), 1)
    relevance = config.relevance.process(1, 1, config.num_tokens, config.num_devices)
    fading.start([0], [generator])
    relevance.start([0], [generator])
    downlink, uplink = path_gain(distances, config.carrier_hz) * fading.gains[0, :, :, 0]
    return Block(relevance.gate_scores[0, 0], downlink, uplink, config)

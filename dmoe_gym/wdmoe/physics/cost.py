"""The one scalar that every WDMoE scheduler minimises, with its unit (this project's choice)."""

from __future__ import annotations

from dmoe_gym.channel.path_loss import path_gain
from dmoe_gym.wdmoe.config import WDMoEConfig
from dmoe_gym.wdmoe.physics.block import Allocation, Block, mean_relevance
from dmoe_gym.wdmoe.physics.latency import latency, token_time


def reference_latency(config: WDMoEConfig) -> float:
    """What block latencies are divided by [s]: J D / U tokens on one typical device.

    The device stands at the median distance, has no fading, an equal share B / U of the bandwidth in both directions
    and the mean of all devices' computation times.
    """
    nearest, farthest = config.distance_range_m
    gain = float(path_gain(((nearest**2 + farthest**2) / 2) ** 0.5, config.carrier_hz))
    time = token_time(
        config.bandwidth_hz / config.num_devices,
        config.base_station_power_w * gain / config.noise_density,
        config.device_power_w * gain / config.noise_density,
        float((config.token_flops / config.device_speeds).mean()),
        config.payload_bit,
    )
    return time * config.num_tokens * config.max_experts / config.num_devices


def token_unit(config: WDMoEConfig) -> float:
    """Unit of observed computation times [s]: what the reference latency leaves for one token."""
    return reference_latency(config) * config.num_devices / (config.num_tokens * config.max_experts)


def shortfall(block: Block, allocation: Allocation) -> float:
    """How far the mean relevance stays under the block's budget, in [0, 1]."""
    return max(0.0, block.relevance_budget - mean_relevance(block, allocation.selected))


def cost(block: Block, allocation: Allocation) -> float:
    """latency / reference latency + V * shortfall.

    Raises:
        ValueError: where the allocation has another size than the block.
    """
    relative = latency(block, allocation).total / reference_latency(block.config)
    return relative + block.config.shortfall_price * shortfall(block, allocation)

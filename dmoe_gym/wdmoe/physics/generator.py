"""Random blocks of a configuration, for tests, measurements and examples."""

from __future__ import annotations

import numpy as np

from dmoe_gym.channel.path_loss import path_gain
from dmoe_gym.wdmoe.config import WDMoEConfig
from dmoe_gym.wdmoe.physics.block import Block


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

"""Random blocks of a configuration, for tests, measurements and examples."""

from __future__ import annotations

import numpy as np

from dmoe_gym.wdmoe.config import WDMoEConfig
from dmoe_gym.wdmoe.physics.block import Block
from dmoe_gym.wdmoe.physics.geometry import path_gain


def draw_block(config: WDMoEConfig, generator: np.random.Generator) -> Block:
    """One block: devices uniform over the ring between nearest and farthest, Rayleigh fading, Dirichlet gate weights.

    Downlink and uplink fade independently (frequency division); every token is of one domain (this project's choice).
    """
    devices = config.devices
    squares = generator.uniform(config.nearest_m**2, config.farthest_m**2, devices)
    gains = path_gain(np.sqrt(squares), config.carrier_hz) * generator.standard_exponential((2, devices))
    concentration = np.full(devices, config.gate_concentration)
    concentration[generator.integers(devices)] += config.domain_concentration
    return Block(generator.dirichlet(concentration, config.tokens), gains[0], gains[1], config)

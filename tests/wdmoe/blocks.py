"""Blocks for the tests of the WDMoE system."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from dmoe_gym.wdmoe import Block, WDMoEConfig, draw_block

# A block as it comes from the scenarios, small enough to enumerate every selection of it.
TINY = WDMoEConfig(num_devices=3, num_tokens=4, device_speed_range_flops=(8e12, 2e12))


def spread_block(devices: int, spread_db: float, generator: np.random.Generator, tokens: int = 8) -> Block:
    """A block whose gains are spread evenly (in dB) over `spread_db` around -90 dB, each direction on its own."""
    config = WDMoEConfig(num_devices=devices, num_tokens=tokens, max_experts=min(2, devices))
    gains = 10 ** (-9 + generator.uniform(-spread_db / 20, spread_db / 20, (2, devices)))
    return Block(generator.dirichlet(np.ones(devices), tokens), gains[0], gains[1], config)


@st.composite
def tiny_blocks(draw: st.DrawFn) -> Block:
    """Blocks of TINY's size: any channel, any relevance share, flat to peaked gate weights."""
    share = draw(st.floats(0.3, 1.0))
    concentration = draw(st.sampled_from([0.2, 0.5, 3.0]))
    config = TINY.replace(
        relevance_share=share,
        relevance={"kind": "dirichlet", "concentration": concentration},
        base_station_power_w=draw(st.sampled_from([1e-6, 10.0])),
    )
    return draw_block(config, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))

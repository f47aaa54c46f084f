"""Named configurations of the WDMoE system."""

from __future__ import annotations

from types import MappingProxyType

from dmoe_gym.config import named
from dmoe_gym.wdmoe.config import WDMoEConfig

# Sizes and speeds are assumed; `mixtral` has Mixtral-8x7B's 8 experts, 32 blocks and top-2.
SCENARIOS = MappingProxyType(
    {
        "testbed": WDMoEConfig(
            num_devices=4, num_tokens=16, num_blocks=8, device_speeds_flops=(20e12, 10e12, 4e12, 2e12)
        ),
        "mixtral": WDMoEConfig(num_devices=8, num_tokens=32, num_blocks=32),
        "crowd": WDMoEConfig(num_devices=64, num_tokens=64, num_blocks=8),
    }
)


def scenario(name: str) -> WDMoEConfig:
    """The preset of that name; `.replace(**overrides)` changes fields.

    Raises:
        ValueError: for an unknown name, listing the valid ones.
    """
    return named(SCENARIOS, name)

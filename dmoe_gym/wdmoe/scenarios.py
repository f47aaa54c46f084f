"""Named configurations of the WDMoE system."""

from __future__ import annotations

from dmoe_gym.wdmoe.config import WDMoEConfig

# Sizes are this project's choice (assumed); `mixtral` has Mixtral-8x7B's 8 experts, 32 blocks and top-2.
_SCENARIOS = {
    "testbed": WDMoEConfig(devices=4, tokens=16, blocks=8, device_speeds=(20e12, 10e12, 4e12, 2e12)),
    "mixtral": WDMoEConfig(devices=8, tokens=32, blocks=32),
    "crowd": WDMoEConfig(devices=64, tokens=64, blocks=8),
}


def scenario(name: str) -> WDMoEConfig:
    """The configuration of a named scenario; all fields can be changed with `.replace(...)`.

    Raises:
        ValueError: for an unknown name, listing the valid ones.
    """
    if name not in _SCENARIOS:
        raise ValueError(f"scenario = {name!r}: valid are {', '.join(sorted(_SCENARIOS))}")
    return _SCENARIOS[name]

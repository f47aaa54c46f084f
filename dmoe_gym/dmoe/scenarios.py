"""Named DMoE configurations; every field can be overridden."""

from __future__ import annotations

from types import MappingProxyType

from dmoe_gym.dmoe.config import DMoEConfig

SCENARIOS = MappingProxyType(
    {
        # more subcarriers than links: JESA's home ground, small enough to solve exactly in milliseconds
        "small": DMoEConfig(num_experts=4, num_states=1, num_subcarriers=16, num_layers=8),
        # Mixtral-like depth and width; later layers ask for less relevance
        "paper": DMoEConfig(num_experts=8, num_states=4, num_subcarriers=64, num_layers=32, importance_factor=0.98),
        # fewer subcarriers than links that want one: someone has to go without
        "scarce": DMoEConfig(num_experts=6, num_states=2, num_subcarriers=8, num_layers=8),
        # for speed and for how cost grows
        "large": DMoEConfig(num_experts=32, num_states=4, num_subcarriers=1024, num_layers=8),
    }
)


def scenario(name: str) -> DMoEConfig:
    """The configuration of a named scenario.

    Raises:
        ValueError: for an unknown name; the message lists the valid ones.
    """
    if not isinstance(name, str) or name not in SCENARIOS:
        raise ValueError(f"scenario = {name!r}: valid are {', '.join(SCENARIOS)}")
    return SCENARIOS[name]

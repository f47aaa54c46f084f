"""Named DMoE configurations; every field can be overridden."""

from __future__ import annotations

from types import MappingProxyType

from dmoe_gym.channel import (
    BlockageConfig,
    CSIConfig,
    GaussMarkovConfig,
    LargeScaleConfig,
    RandomWaypointConfig,
    TappedDelayLineConfig,
)
from dmoe_gym.config import named
from dmoe_gym.dmoe.config import DMoEConfig, NodesConfig, ResidualConfig
from dmoe_gym.dmoe.harvest import SunConfig
from dmoe_gym.relevance import TraceConfig

_ROUND_S = 0.04  # rounds and the slots inside them, where time matters (assumed)

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
        # the channel seen is the last round's, and what does not arrive in the slot is lost
        "stale": DMoEConfig(
            num_experts=6,
            num_states=2,
            num_subcarriers=32,
            num_layers=8,
            channel=GaussMarkovConfig(doppler_hz=4.0, round_duration_s=_ROUND_S),
            csi=CSIConfig(delay_rounds=1, error_variance=0.05),
            slot_duration_s=0.03,
        ),
        # neighbouring subcarriers fade alike, so links want the same few of them
        "selective": DMoEConfig(
            num_experts=6,
            num_states=2,
            num_subcarriers=10,
            num_layers=8,
            channel=TappedDelayLineConfig(profile="exponential", delay_spread_s=5e-8),
        ),
        # relevance is asked for over the episode, not of every hidden state
        "budget": DMoEConfig(num_experts=6, num_states=2, num_subcarriers=32, num_layers=16, relevance_budget=0.6),
        # the cheap nodes cannot serve everyone until the end
        "battery": DMoEConfig(num_experts=6, num_states=2, num_subcarriers=32, num_layers=16, battery_j=0.018),
        # batteries fill in the sun and run down in the shade, which may last longer than they do
        "harvest": DMoEConfig(
            num_experts=6,
            num_states=2,
            num_subcarriers=32,
            num_layers=64,
            battery_j=0.05,
            harvest=SunConfig(mean_j=0.0014, sun_share=0.4, mean_sun_rounds=8.0, start_share=0.6),
        ),
        # links fade deeply and stay so for a while, which is seen late; what they delivered is told at once
        "blockage": DMoEConfig(
            num_experts=6,
            num_states=2,
            num_subcarriers=32,
            num_layers=32,
            threshold=0.35,
            channel=BlockageConfig(depth_db=20.0, clear_rounds=(4.0, 128.0), blocked_rounds=(2.0, 64.0)),
            csi=CSIConfig(delay_rounds=8),
            slot_duration_s=0.03,
            acknowledged=True,
        ),
        # nodes move through path loss and shadowing, seen one round late and with error, under a slot
        "mobile": DMoEConfig(
            num_experts=6,
            num_states=2,
            num_subcarriers=32,
            num_layers=8,
            channel=LargeScaleConfig(
                small_scale=GaussMarkovConfig(doppler_hz=4.0, round_duration_s=_ROUND_S),
                mobility=RandomWaypointConfig(round_duration_s=_ROUND_S),
            ),
            csi=CSIConfig(delay_rounds=1, error_variance=0.05),
            slot_duration_s=0.03,
        ),
        # gate scores that a real model's gates gave: the classifier of digits, recorded
        "recorded": DMoEConfig(
            num_experts=6, num_states=4, num_subcarriers=32, num_layers=6, relevance=TraceConfig(file="digits")
        ),
    }
)

# The same systems where every node schedules for itself.
NODES_SCENARIOS = MappingProxyType({name: NodesConfig(**dict(config)) for name, config in SCENARIOS.items()})

# What makes each scenario hard, one sentence each.
HARDNESS = MappingProxyType(
    {
        "small": "Nothing: subcarriers abound and all is known, so JESA is next to optimal and speed is what is left.",
        "paper": "Its size: 8 experts, 64 subcarriers and 32 layers that ask for ever less relevance.",
        "scarce": "There are fewer subcarriers than links that want one, so who goes without is the question.",
        "large": "Its size: a thousand links and a thousand subcarriers.",
        "stale": "The best subcarrier seen is a round old, and a link that has faded since loses its hidden states.",
        "selective": "Few subcarriers that fade alike: a link's second choice is as bad as its first is taken.",
        "budget": "Relevance is worth buying where it is cheap, now or in rounds that are not seen yet.",
        "battery": "The cheapest experts run out of energy before the episode ends, and a node without loses its own.",
        "harvest": "Sun and shade come and stay a while: what a node spends now it may miss until the sun is back.",
        "blockage": "Links are blocked for long or short, which is seen late: what they delivered must be remembered.",
        "mobile": "Links differ by their distance, which changes, and what is seen of them is old and noisy.",
        "recorded": "Gate scores are a real model's: layers differ in how sure their gates are, and patches agree.",
    }
)


def scenario_of(config: DMoEConfig) -> str | None:
    """The name of the scenario whose system a configuration is, whatever residual scheduling makes of it."""
    system = config.replace(residual=ResidualConfig())
    return next((name for name, known in SCENARIOS.items() if known == system), None)


def scenario(name: str) -> DMoEConfig:
    """The configuration of a named scenario.

    Raises:
        ValueError: for an unknown name; the message lists the valid ones.
    """
    return named(SCENARIOS, name)

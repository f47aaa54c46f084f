"""What pictures and texts of a scene say in words and numbers."""

from __future__ import annotations

from dmoe_gym.wdmoe.physics.block import mean_relevance
from dmoe_gym.wdmoe.physics.cost import cost
from dmoe_gym.wdmoe.physics.latency import latency
from dmoe_gym.wdmoe.viewer.recorder import Scene


def title(scene: Scene) -> str:
    """Which block is shown, and whether it is decided."""
    state = "nothing decided yet" if scene.allocation is None else "decided"
    return f"Block {scene.number} of {scene.block.config.num_blocks}, {state}"


def sizes(scene: Scene) -> str:
    """The scenario's sizes and the block's relevance budget on one line."""
    config = scene.block.config
    return (
        f"U = {config.num_devices} devices, J = {config.num_tokens} tokens, at most D = {config.max_experts} experts "
        f"per token, {config.bandwidth_hz / 1e6:g} MHz, relevance budget {scene.block.relevance_budget:.3f}"
    )


def outcome(scene: Scene) -> list[str]:
    """Cost, relevance and latency [ms] of the shown block, once it is decided."""
    if scene.allocation is None:
        return []
    return [
        f"cost {cost(scene.block, scene.allocation):.6g}",
        f"relevance {mean_relevance(scene.block, scene.allocation.selected):.6g}",
        f"latency {1e3 * latency(scene.block, scene.allocation).total:.6g} ms",
    ]


def parts(scene: Scene) -> list[str]:
    """What the block's latency is made of [ms], means over the devices with tokens."""
    if scene.allocation is None:
        return []
    found = latency(scene.block, scene.allocation)
    named = (
        (found.downlink, "downlink"),
        (found.uplink, "uplink"),
        (found.computation, "computation"),
        (found.waiting, "waiting"),
    )
    return ["latency in ms: " + " + ".join(f"{1e3 * seconds:.6g} {name}" for seconds, name in named)]


def latency_so_far(scene: Scene) -> str:
    """Latency of the decided blocks beside greedy selection's on the same blocks, on one line."""
    blocks = len(scene.latencies)
    own, greedy = 1e3 * scene.latencies.sum(), 1e3 * scene.greedy_latencies.sum()
    return f"latency so far {own:.6g} ms, greedy {greedy:.6g} ms on the same {blocks} block{'s' * (blocks != 1)}"

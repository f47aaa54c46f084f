"""What pictures and texts of a scene say in words and numbers."""

from __future__ import annotations

from dmoe_gym.dmoe.physics import terms
from dmoe_gym.dmoe.viewer.recorder import Scene


def title(scene: Scene) -> str:
    """Which round is shown, and how far it is decided."""
    state = "nothing decided yet"
    if scene.schedule is not None:
        state = "decided" if scene.complete else "in progress"
    return f"Layer {scene.layer} of {scene.round.config.num_layers}, {state}"


def sizes(scene: Scene) -> str:
    """The scenario's sizes and the round's threshold on one line."""
    config = scene.round.config
    return (
        f"K = {config.num_experts} experts, N = {config.num_states} hidden states per node, "
        f"M = {config.num_subcarriers} subcarriers, at most D = {config.max_experts} experts per hidden state, "
        f"threshold {scene.round.threshold:.3f}"
    )


def outcome(scene: Scene, digits: int = 6) -> list[str]:
    """Cost, relevance, shortfall and energy [mJ] of the shown round, once it is complete."""
    if scene.schedule is None or not scene.complete:
        return []
    result = terms(scene.round, scene.schedule)
    total, communication, computation = (
        f"{1e3 * joules:.{digits}g}"
        for joules in (result.energy.total, result.energy.communication, result.energy.computation)
    )
    return [
        f"cost {result.cost:.{digits}g}",
        f"relevance {result.relevance:.{digits}g}",
        f"shortfall {result.shortfall:.{digits}g}",
        f"energy {total} mJ = {communication} communication + {computation} computation",
    ]


def energy_so_far(scene: Scene) -> str:
    """Energy of the complete rounds beside JESA's on the same rounds, on one line."""
    rounds = len(scene.energies)
    own, reference = 1e3 * scene.energies.sum(), 1e3 * scene.jesa_energies.sum()
    return (
        f"energy so far {own:.6g} mJ, JESA {reference:.6g} mJ on the same {rounds} complete round{'s' * (rounds != 1)}"
    )

"""A scene in words and numbers: gate scores, links, what came out, energy beside JESA's."""

from __future__ import annotations

import numpy as np

from dmoe_gym.dmoe.physics import terms
from dmoe_gym.dmoe.viewer.recorder import Scene
from dmoe_gym.rendering import MOST_LINES, left_out, marked

# An ansi text shows every gate score up to this many experts, beyond, those of the selected ones.
FULL_SCORES = 12


def text(scene: Scene) -> str:
    """All of a scene. Energies are in mJ, spectral efficiency in bit/s/Hz; `*` marks selected experts."""
    lines = [
        title(scene),
        sizes(scene),
        *outcome(scene),
        *(() if scene.repairs is None else (f"repairs {scene.repairs} in the last step",)),
        energy_so_far(scene),
        *_conditions(scene),
        *_states(scene),
        *_links(scene),
    ]
    return "\n".join(lines) + "\n"


def batteries(scene: Scene) -> list[str]:
    """What every node has left, in percent of a full battery, and what arrived at it now."""
    round, full = scene.round, scene.round.config.battery_j
    if round.battery is None or full is None:
        return []
    arrived = np.zeros_like(round.battery) if round.harvested is None else round.harvested
    return [
        f"{100 * left / full:.0f} %" + f" (+{1e3 * more:.3g} mJ)" * (more > 0)
        for left, more in zip(round.battery, arrived, strict=True)
    ]


def _conditions(scene: Scene) -> list[str]:
    left, blocked = batteries(scene), scene.round.blocked
    lines = ["battery by node: " + ", ".join(left)] if left else []
    if blocked is not None:
        links = [f"{i} -> {j}" for i, j in np.argwhere(blocked & ~np.eye(len(blocked), dtype=bool))]
        lines.append("blocked links: " + (", ".join(links[:MOST_LINES]) or "none"))
        lines += left_out(len(links), "blocked links")
    return lines


def _states(scene: Scene) -> list[str]:
    scores = scene.round.gate_scores
    nodes, states, experts = scores.shape
    chosen = scene.schedule.selected if scene.schedule else np.zeros(scores.shape, bool)
    full = experts <= FULL_SCORES
    lines = ["gate scores" + ("" if full else " of the selected experts")]
    if full:
        lines.append("node.state " + "".join(f"{f'expert {j}':>10}" for j in range(experts)))
    for i, n in list(np.ndindex(nodes, states))[:MOST_LINES]:
        label = f"{f'{i}.{n}':>10} "
        if full:
            cells = marked(scores[i, n], chosen[i, n])
        else:
            cells = ", ".join(f"{j}: {scores[i, n, j]:.3f}*" for j in np.flatnonzero(chosen[i, n]))
        lines.append(label + cells)
    return lines + left_out(nodes * states, "hidden states")


def _links(scene: Scene) -> list[str]:
    if scene.schedule is None:
        return []
    payload, links = scene.schedule.payload_states, np.argwhere(scene.schedule.allocated)
    lines = ["links: node -> expert, hidden states, subcarrier, spectral efficiency [bit/s/Hz]"]
    for i, j, m in links[:MOST_LINES]:
        lines.append(f"{i:>4} -> {j:<4} {payload[i, j]:>3}  m={m:<5} {scene.efficiency[i, j, m]:.3f}")
    return lines + left_out(len(links), "links")


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

"""What a picture of an environment needs and the core does not keep: the decided round, and energies so far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.env.base import DMoECore
from dmoe_gym.dmoe.env.batch import round_of
from dmoe_gym.dmoe.physics import Round, Schedule, energy, terms
from dmoe_gym.dmoe.solvers import solve_jesa
from dmoe_gym.rendering import MOST_LINES, Recorder, left_out, score_table


@dataclass(frozen=True, eq=False)
class Scene:
    """One round of one environment, consistent in itself: everything belongs to the same layer.

    Attributes:
        layer: l, from 1 to L.
        round: the true round.
        efficiency: (K, K, M) bit/s/Hz, the channel as the scheduler saw it.
        schedule: what was decided, so far if the round is not complete; None if nothing was.
        complete: are all hidden states of the round decided?
        repairs: of the last step; None if there was none.
        energies: [J], one per complete round of the episode so far; NaN for a round that was not recorded.
        jesa_energies: [J], JESA's on the same rounds, with the true channel.
    """

    layer: int
    round: Round
    efficiency: np.ndarray
    schedule: Schedule | None
    complete: bool
    repairs: int | None
    energies: np.ndarray
    jesa_energies: np.ndarray


@dataclass(frozen=True, eq=False)
class Decided:
    """A complete round as the core held it; what follows from it is worked out on demand.

    Attributes:
        config: of the environment.
        gate_scores, gains, threshold, account, harvested: as in `round_of`; the account as it was when the round began.
        obstacles: as `ChannelProcess.obstacles`.
        selected: (K, N, K) bool; subcarrier: (K, K), -1 for none.
        efficiency: (K, K, M), as the scheduler saw it.
    """

    config: DMoEConfig
    gate_scores: np.ndarray
    gains: np.ndarray
    threshold: float
    account: np.ndarray
    harvested: np.ndarray | None
    obstacles: dict[str, np.ndarray]
    selected: np.ndarray
    subcarrier: np.ndarray
    efficiency: np.ndarray

    @cached_property
    def round(self) -> Round:
        """The true round."""
        return round_of(
            self.config, self.gate_scores, self.gains, self.threshold, self.account, self.harvested, **self.obstacles
        )

    @cached_property
    def schedule(self) -> Schedule:
        """What was decided, without idle links' subcarriers."""
        return active_part(Schedule.from_subcarriers(self.selected, self.subcarrier, self.config.num_subcarriers))

    @cached_property
    def energy(self) -> float:
        """Of the round [J]."""
        return energy(self.round, self.schedule).total

    @cached_property
    def jesa_energy(self) -> float:
        """JESA's in the same round [J]."""
        return energy(self.round, solve_jesa(self.round)).total


class DMoERecorder(Recorder[DMoECore, Decided]):
    """Keeps the decided rounds of every environment's episode; JESA meets every round as its batteries were left.

    Attributes:
        accounts: (num_envs, 2 + K) as the running rounds met them.
    """

    def __init__(self, core: DMoECore) -> None:
        super().__init__(core)
        self.accounts = core.account.copy()

    def begin_round(self, core: DMoECore, rows: np.ndarray) -> None:
        self.accounts[rows] = core.account[rows]

    def decided(self, core: DMoECore, row: int) -> Decided:
        return Decided(
            core.config,
            core.relevance.gate_scores[row].copy(),
            core.channel.gains[row].copy(),
            float(core.threshold[row, 0]),
            self.accounts[row].copy(),
            core.harvested(row),
            core.channel.obstacles(row),
            core.selected[row].copy(),
            core.subcarrier[row].copy(),
            core.efficiency[row].copy(),
        )

    def scene(self, core: DMoECore, row: int) -> Scene:
        """A complete round is the recorder's, for the core holds the next one by then."""
        complete_rounds = int(core.decided_rounds(row))
        energies = self.values(row, complete_rounds, lambda decided: decided.energy)
        jesa_energies = self.values(row, complete_rounds, lambda decided: decided.jesa_energy)
        last = self.get(row, complete_rounds)
        started = (
            core.turn is not None and not core.terminated[row] and bool(core.turn[row] > 0 or core.selected[row].any())
        )
        repairs = int(core.terms["repairs"][row]) if started or complete_rounds else None
        if started or last is None:
            schedule = active_part(core.schedule(row)) if started else None
            now = self.decided(core, row)
            return Scene(
                int(core.layer[row]), now.round, now.efficiency, schedule, False, repairs, energies, jesa_energies
            )
        return Scene(
            complete_rounds, last.round, last.efficiency, last.schedule, True, repairs, energies, jesa_energies
        )


def active_part(schedule: Schedule) -> Schedule:
    """The schedule without the subcarriers of links that carry nothing."""
    active = schedule.payload_states > 0
    np.fill_diagonal(active, False)
    return Schedule(schedule.selected, schedule.allocated & active[..., None])


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
        f"{100 * left / full:.0f} %" + f" (+{1e3 * more:.3g} mJ)" * bool(more > 0)
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
    labels = [f"{i}.{n}" for i, n in np.ndindex(nodes, states)]
    flat = (nodes * states, experts)
    lines = score_table("gate scores", "node.state", "expert", labels, scores.reshape(flat), chosen.reshape(flat))
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

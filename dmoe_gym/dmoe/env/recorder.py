"""What a picture of an environment needs and the core does not keep: the decided round, and energies so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dmoe_gym.dmoe.physics import Round, Schedule, energy
from dmoe_gym.dmoe.solvers import solve_jesa

if TYPE_CHECKING:
    from dmoe_gym.dmoe.env.base import DMoECore


@dataclass(frozen=True, eq=False)
class Scene:
    """One round of one environment, consistent in itself: everything belongs to the same layer.

    Fields:
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


class Recorder:
    """Keeps every environment's last decided round, and the energies of its episode's rounds beside JESA's.

    A core has one only where a facade with a render mode asked for it (`DMoECore.record`): JESA is solved for every
    round that is recorded.

    JESA meets every round as this episode's batteries left it.

    Attributes:
        energies, jesa_energies: (num_envs, L) float64 [J]; entries of rounds still to come are those of an earlier
            episode, or NaN.
    """

    def __init__(self, core: DMoECore) -> None:
        shape = (core.num_envs, core.config.num_layers)
        self.energies = np.full(shape, np.nan)
        self.jesa_energies = np.full(shape, np.nan)
        self.begun: list[Round | None] = [None] * core.num_envs
        self.decided: list[tuple[Round, np.ndarray, Schedule] | None] = [None] * core.num_envs

    def begin_round(self, core: DMoECore, rows: np.ndarray) -> None:
        """Keep the rounds that the environments in `rows` begin, with what their batteries hold before any decision."""
        for row in rows:
            self.begun[row] = core.round(row)

    def keep_round(self, core: DMoECore, rows: np.ndarray) -> None:
        """Keep the rounds that the environments in `rows` have just completed and still hold."""
        for row in rows:
            round = self.begun[row] or core.round(row)
            schedule = active_part(core.schedule(row))
            self.decided[row] = (round, core.efficiency[row].copy(), schedule)
            layer = core.layer[row] - 1
            self.energies[row, layer] = energy(round, schedule).total
            self.jesa_energies[row, layer] = energy(round, solve_jesa(round)).total


def active_part(schedule: Schedule) -> Schedule:
    """The schedule without the subcarriers of links that carry nothing."""
    active = schedule.payload_states > 0
    np.fill_diagonal(active, False)
    return Schedule(schedule.selected, schedule.allocated & active[..., None])


def current_scene(core: DMoECore, row: int) -> Scene:
    """The round to show of one environment.

    That is the one that the last step worked on: complete, it is the recorder's, for the core holds the next one by
    then. After a reset it is the first round, with nothing decided.
    """
    recorder = core.recorder
    layer = int(core.layer[row])
    complete_rounds = layer if core.terminated[row] else max(0, layer - 1)
    unknown = np.full(complete_rounds, np.nan)
    energies = recorder.energies[row, :complete_rounds].copy() if recorder else unknown
    jesa_energies = recorder.jesa_energies[row, :complete_rounds].copy() if recorder else unknown
    decided = recorder.decided[row] if recorder else None
    started = (
        core.turn is not None and not core.terminated[row] and bool(core.turn[row] > 0 or core.selected[row].any())
    )
    repairs = int(core.terms["repairs"][row]) if started or complete_rounds else None
    if started or not complete_rounds or decided is None:
        round = (recorder.begun[row] if recorder else None) or core.round(row)
        schedule = active_part(core.schedule(row)) if started else None
        efficiency = core.efficiency[row].copy()
        return Scene(layer, round, efficiency, schedule, False, repairs, energies, jesa_energies)
    return Scene(complete_rounds, *decided, True, repairs, energies, jesa_energies)

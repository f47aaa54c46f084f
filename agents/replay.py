"""Episodes that are drawn once and run by many schedulers: what pairs the candidates of an evolution strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dmoe_gym.dmoe.config import DMoEConfig
from dmoe_gym.dmoe.env.base import DMoECore
from dmoe_gym.dmoe.env.joint import JointCore


class Recording(NamedTuple):
    """What chance draws of B episodes of L rounds; actions have no influence on any of it.

    Fields:
        gate_scores: (L, B, K, N, K); gains, observed_gains: (L, B, K, K, M), the true ones and those that are seen.
    """

    gate_scores: np.ndarray
    gains: np.ndarray
    observed_gains: np.ndarray


def record(core: DMoECore) -> Recording:
    """The next episode of every environment of a core, which is left at the episodes' ends."""
    core.start(core.all_rows)
    scores, gains, observed = [], [], []
    while not core.terminated.all():
        scores.append(core.relevance.gate_scores.copy())
        gains.append(core.channel.gains.copy())
        observed.append(core.knowledge.observed_gains.copy())
        core.skip_round(core.all_rows)
    return Recording(np.stack(scores), np.stack(gains), np.stack(observed))


class _Track:
    """One recorded quantity: a process that draws nothing and plays."""

    def __init__(self, name: str, played: np.ndarray, recorded: np.ndarray) -> None:
        self.played, self.recorded = played, recorded
        self.position = np.zeros(len(played), np.int64)
        setattr(self, name, played)

    def _play(self, rows: Sequence[int]) -> None:
        where = np.asarray(rows)
        self.played[where] = self.recorded[self.position[where], where % self.recorded.shape[1]]

    def start(self, rows: Sequence[int], generators: Sequence[np.random.Generator]) -> None:
        self.position[rows] = 0
        self._play(rows)

    def advance(self, rows: Sequence[int], generators: Sequence[np.random.Generator]) -> None:
        self.position[rows] += 1
        self._play(rows)


class ReplayCore(JointCore):
    """`DMoE-JESA-v0` environments whose rounds are those of a recording, each episode in `copies` environments.

    Environment p * B + b runs episode b. Everything but the drawing is the environment's own.
    """

    def __init__(self, config: DMoEConfig, recording: Recording, copies: int) -> None:
        super().__init__(copies * recording.gains.shape[1], config)
        domains = self.relevance.domains
        self.tracks = (
            _Track("gate_scores", self.relevance.gate_scores, recording.gate_scores),
            _Track("gains", self.channel.gains, recording.gains),
            _Track("observed_gains", self.knowledge.observed_gains, recording.observed_gains),
        )
        self.relevance, self.channel, self.knowledge = self.tracks  # type: ignore[assignment]
        self.relevance.domains = domains
        self._gains_inside = self._scores_inside = False

    def replay(self, recording: Recording) -> None:
        """Run as many other episodes from the next `start` on."""
        for track, recorded in zip(self.tracks, recording, strict=True):
            track.recorded = recorded

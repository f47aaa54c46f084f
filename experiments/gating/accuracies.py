"""The rows of the experiment by who chose the expert, and paired differences between choosers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

NAIVE_STAGE_ONE = ("naive_stage_one", "gate")
NAIVE = ("naive", "gate")
CHANNEL_AWARE = ("channel_aware", "gate")
BEST_SNR = ("best_snr", "gate")
RANDOM = ("random", "gate")
ORACLE = ("channel_aware", "oracle")
BEST_SNR_SAME_EXPERTS = ("channel_aware", "best_snr")
RANDOM_SAME_EXPERTS = ("channel_aware", "random")

LABELS: dict[tuple[str, str], str] = {
    CHANNEL_AWARE: "channel-aware gate",
    NAIVE: "naive gate",
    NAIVE_STAGE_ONE: "naive gate, stage 1 only",
    BEST_SNR: "best SNR",
    RANDOM: "random",
    ORACLE: "oracle (bound)",
    BEST_SNR_SAME_EXPERTS: "best SNR, channel-aware gate's experts",
    RANDOM_SAME_EXPERTS: "random, channel-aware gate's experts",
}


class Row(NamedTuple):
    """Accuracies (images,). `trained_with` names the gate that F and Q were trained under, `choice` who picks."""

    transmission: str
    trained_with: str
    choice: str
    mean_db: float
    spread_db: float
    seed: int
    accuracy: np.ndarray


class Accuracies:
    """The rows at one mean SNR, by transmission and by who chose, as arrays over spread, seed and image."""

    def __init__(self, rows: Iterable[Row], mean_db: float) -> None:
        rows = [row for row in rows if row.mean_db == mean_db]
        self.mean_db = mean_db
        self.transmissions = list(dict.fromkeys(row.transmission for row in rows))
        self.spreads_db = sorted({row.spread_db for row in rows})
        self.seeds = sorted({row.seed for row in rows})
        self._table = {
            (row.transmission, row.trained_with, row.choice, row.spread_db, row.seed): row.accuracy for row in rows
        }

    def of(self, transmission: str, chooser: tuple[str, str]) -> np.ndarray:
        """(spreads, seeds, images)."""
        return np.array(
            [
                [self._table[transmission, *chooser, spread_db, seed] for seed in self.seeds]
                for spread_db in self.spreads_db
            ]
        )

    def gain(self, transmission: str, better: tuple[str, str], worse: tuple[str, str]) -> np.ndarray:
        """Paired difference, (spreads, seeds, images): both met the same images and channels."""
        return self.of(transmission, better) - self.of(transmission, worse)

    def coding_gain(self, coded: str, plain: str, chooser: tuple[str, str]) -> np.ndarray:
        """What `coded` transmission adds to the accuracy of one chooser over `plain`, (spreads, seeds, images)."""
        return self.of(coded, chooser) - self.of(plain, chooser)

"""Learning rates and weight decays tuned on validation images; the winners are `dmoe_gym.gating.tuned.TUNED`.

Every gate gets the same grid, seeds and measure under each kind of transmission. The seeds are not among those that the
accuracy experiment reports, and no seed's validation images are among the test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from dmoe_gym.evaluation.table import markdown_table
from dmoe_gym.gating.config import GateKind, GatingConfig, SNRDistribution
from dmoe_gym.gating.data import load_digits_split
from dmoe_gym.gating.evaluation import evaluate_accuracy
from dmoe_gym.gating.training import train_two_stage
from dmoe_gym.gating.transmission import Analog, Digital
from experiments.page import Page
from experiments.runner import Experiment, Piece

LEARNING_RATES = (1e-2, 2e-2, 3e-2)
WEIGHT_DECAYS = (1e-4, 1e-1)
GATES: tuple[GateKind, ...] = ("naive", "channel_aware", "best_snr")
TRANSMISSIONS: dict[str, Analog | Digital] = {"analog": Analog(), "digital": Digital()}
CHANNELS = [
    SNRDistribution(mean_db=mean_db, spread_db=spread_db)
    for mean_db, spread_db in product((-5.0, 0.0, 5.0), (0.0, 3.0, 6.0, 9.0, 12.0))
]


class GatingTuning(Experiment):
    """The whole grid for every gate under every transmission."""

    name: ClassVar[str] = "gating-tuning"
    about: ClassVar[str] = "learning rates and weight decays of the gates, on validation images"

    first_seed: Annotated[int, Field(ge=0)] = 100
    seeds: Annotated[int, Field(ge=1)] = 2

    def pieces(self) -> list[Piece]:
        return [
            Piece(validation_accuracy, {"transmission": kind, "gate": gate, **rates, "seed": seed})
            for kind, gate, rates in self._grid()
            for seed in range(self.first_seed, self.first_seed + self.seeds)
        ]

    def page(self, values: Sequence[Any]) -> Page:
        """Every pair of the grid with its mean accuracy, best first within a gate; a file, no page."""
        means = np.reshape(values, (-1, self.seeds)).mean(1)
        body = [
            [kind, gate, f"{rates['learning_rate']:g}", f"{rates['weight_decay']:g}", f"{100 * mean:.2f}"]
            for (kind, gate, rates), mean in zip(self._grid(), means, strict=True)
        ]
        body.sort(key=lambda line: (line[0], line[1], -float(line[4])))
        headings = ["transmission", "gate", "learning rate", "weight decay", "accuracy [%]"]
        return Page(files={"output/gating-tuning.md": markdown_table(headings, body)})

    @staticmethod
    def _grid() -> list[tuple[str, GateKind, dict[str, float]]]:
        return [
            (kind, gate, {"learning_rate": learning_rate, "weight_decay": weight_decay})
            for kind, gate, learning_rate, weight_decay in product(TRANSMISSIONS, GATES, LEARNING_RATES, WEIGHT_DECAYS)
        ]


def validation_accuracy(
    transmission: str, gate: GateKind, learning_rate: float, weight_decay: float, seed: int
) -> float:
    """Mean accuracy over `CHANNELS` of the model's own gate on the digits' validation images."""
    config = GatingConfig(gate=gate, learning_rate=learning_rate, weight_decay=weight_decay)
    data, sent = load_digits_split(seed), TRANSMISSIONS[transmission]
    model = train_two_stage(data, config, transmission=sent, seed=seed)
    accuracies = [
        evaluate_accuracy(model, data.validation, transmission=sent, snr=channel, repeats=3, seed=seed)
        for channel in CHANNELS
    ]
    return float(np.mean(accuracies))

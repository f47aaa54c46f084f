"""Rows of the accuracy experiment by who chose the expert; the networks that the package ships, and their tuning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from dmoe_gym.evaluation.table import markdown_table
from dmoe_gym.gating.config import GateKind, GatingConfig, SNRDistribution
from dmoe_gym.gating.data import DatasetName, load_split
from dmoe_gym.gating.evaluation import features_of, receive
from dmoe_gym.gating.scenarios import TRANSMISSIONS, dataset_shape, tuned_config
from dmoe_gym.gating.training import train_gate, train_two_stage
from dmoe_gym.gating.transmission import Analog, Digital
from experiments.page import Page
from experiments.runner import Experiment, Piece

FOLDER = "dmoe_gym/gating/weights"
# Pieces of one seed follow each other: CIFAR is read once for them.
split_of = lru_cache(maxsize=1)(load_split)
# How the shipped networks hear.
HEARD = {"analog": "analog", "digital": "digital_uncoded"}


class GatingNetworks(Experiment):
    """Trained with seed 0; the same bits on the machine that made the shipped ones.

    Attributes:
        dataset, data_root: see `data.load_split`.
        kinds: of transmission.
    """

    name: ClassVar[str] = "gating-networks"
    about: ClassVar[str] = "the gated networks that the package ships"
    places: ClassVar[tuple[str, ...]] = (FOLDER,)

    dataset: DatasetName = "digits"
    data_root: str | None = None
    kinds: tuple[Literal["analog", "digital"], ...] = ("analog", "digital")

    def pieces(self) -> list[Piece]:
        names = [f"{self.dataset}_{kind}" for kind in self.kinds]
        data = {"dataset": self.dataset, "data_root": self.data_root}
        return [Piece(shipped_files, {"networks": name, **data}) for name in names]

    def page(self, values: Sequence[Any]) -> Page:
        return Page(files={f"{FOLDER}/{name}": content for files in values for name, content in files.items()})


def shipped_files(networks: str, dataset: DatasetName, data_root: str | None) -> dict[str, bytes]:
    """The two files of one shipped name."""
    name = HEARD[networks.removeprefix(f"{dataset}_")]
    transmission, data = TRANSMISSIONS[name], load_split(dataset, data_root, 0)
    model = train_two_stage(data, tuned_config(dataset, name, "channel_aware"), transmission=transmission)
    naive = train_gate(model, "naive", data, transmission)
    with TemporaryDirectory() as folder:
        model.save(Path(folder) / f"{networks}.safetensors")
        naive.save(Path(folder) / f"{networks}_naive.safetensors")
        return {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}


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
        self.choosers = {(row.trained_with, row.choice) for row in rows}
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


LEARNING_RATES = (1e-2, 2e-2, 3e-2)
WEIGHT_DECAYS = (1e-4, 1e-1)
GATES: tuple[GateKind, ...] = ("naive", "channel_aware", "best_snr")
SENT: dict[str, Analog | Digital] = {"analog": Analog(), "digital": Digital()}
CHANNELS = [
    SNRDistribution(mean_db=mean_db, spread_db=spread_db)
    for mean_db, spread_db in product((-5.0, 0.0, 5.0), (0.0, 3.0, 6.0, 9.0, 12.0))
]


class GatingTuning(Experiment):
    """The whole grid for every gate under every transmission.

    Attributes:
        first_seed, seeds: of split, weights and channels, none of those reported.
        dataset, data_root: see `data.load_split`.
        kinds, gates, learning_rates, weight_decays: of the grid.
        gating: fields of `GatingConfig` and their values, in every pair of the grid.
    """

    name: ClassVar[str] = "gating-tuning"
    about: ClassVar[str] = "learning rates and weight decays of the gates, on validation images"

    first_seed: Annotated[int, Field(ge=0)] = 100
    seeds: Annotated[int, Field(ge=1)] = 2
    dataset: DatasetName = "digits"
    data_root: str | None = None
    kinds: tuple[Literal["analog", "digital"], ...] = ("analog", "digital")
    gates: tuple[GateKind, ...] = GATES
    learning_rates: tuple[float, ...] = LEARNING_RATES
    weight_decays: tuple[float, ...] = WEIGHT_DECAYS
    gating: dict[str, Any] = Field(default_factory=dict)

    def pieces(self) -> list[Piece]:
        of = {"dataset": self.dataset, "data_root": self.data_root, "gating": self.gating}
        return [
            Piece(validation_accuracy, {"transmission": kind, "gate": gate, **rates, **of, "seed": seed})
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

    def _grid(self) -> list[tuple[str, GateKind, dict[str, float]]]:
        return [
            (kind, gate, {"learning_rate": learning_rate, "weight_decay": weight_decay})
            for kind, gate, learning_rate, weight_decay in product(
                self.kinds, self.gates, self.learning_rates, self.weight_decays
            )
        ]


def validation_accuracy(
    transmission: str,
    gate: GateKind,
    learning_rate: float,
    weight_decay: float,
    dataset: DatasetName,
    data_root: str | None,
    gating: dict[str, Any],
    seed: int,
) -> float:
    """Mean accuracy over `CHANNELS` of the model's own gate on validation images."""
    rates = {"learning_rate": learning_rate, "weight_decay": weight_decay}
    config = GatingConfig(gate=gate, **{**dataset_shape(dataset), **gating, **rates})
    data, sent = split_of(dataset, data_root, seed), SENT[transmission]
    model = train_two_stage(data, config, transmission=sent, seed=seed)
    features = features_of(model, data.validation)
    right = [
        receive(
            model, data.validation, transmission=sent, snr=channel, repeats=3, seed=seed, features=features
        ).correct("gate")
        for channel in CHANNELS
    ]
    return float(np.mean(right))

"""The experiment's runs: train every gate for every transmission, measure accuracy over the SNR spread."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, model_validator

from dmoe_gym.config import StrictConfig
from dmoe_gym.gating.config import GateKind, GatingConfig, SNRDistribution
from dmoe_gym.gating.data import CLASSES, DatasetName, LabelledImages, load_split
from dmoe_gym.gating.evaluation import Choice, receive
from dmoe_gym.gating.networks import GatedModel
from dmoe_gym.gating.training import train_stage_one, train_stage_two
from dmoe_gym.gating.transmission import Analog, Digital

TRANSMISSIONS: dict[str, Analog | Digital] = {
    transmission.name: transmission
    for transmission in (
        Analog(),
        Analog(repetitions=3),
        Digital(code="uncoded"),
        Digital(code="repetition3"),
        Digital(code="hamming74"),
        Digital(code="golay2312"),
    )
}
DEFAULT_TRANSMISSIONS = tuple(name for name in TRANSMISSIONS if name != "digital_golay2312")
GATES: tuple[GateKind, ...] = ("naive", "channel_aware", "best_snr", "random")
# Winners of `python -m dmoe_gym.gating.experiment.tuning`; "random" takes those of "best_snr".
TUNED: dict[tuple[str, str], dict[str, float]] = {
    ("analog", "naive"): {"learning_rate": 2e-2, "weight_decay": 0.1},
    ("analog", "channel_aware"): {"learning_rate": 2e-2, "weight_decay": 0.1},
    ("analog", "best_snr"): {"learning_rate": 2e-2, "weight_decay": 0.1},
    ("digital", "naive"): {"learning_rate": 2e-2, "weight_decay": 1e-4},
    ("digital", "channel_aware"): {"learning_rate": 2e-2, "weight_decay": 1e-4},
    ("digital", "best_snr"): {"learning_rate": 2e-2, "weight_decay": 1e-4},
}


class SweepConfig(StrictConfig):
    """What is run.

    Fields:
        dataset, data_root: see `data.load_split`.
        split: images that accuracy is measured on; hyperparameters were tuned on "validation", "test" is reported.
        first_seed, seeds: each seed is one split, one set of weights and one set of channels.
        means_db, spreads_db, fading: SNR distributions of the experts, see `SNRDistribution`; all pairs are run.
        transmissions: names out of `TRANSMISSIONS`.
        repeats: channel draws per image.
        top_k: experts that serve one input.
        gating: fields of `GatingConfig` and their values, which take precedence over the tuned ones.
    """

    dataset: DatasetName = "digits"
    data_root: str | None = None
    split: Literal["validation", "test"] = "test"
    first_seed: Annotated[int, Field(ge=0)] = 0
    seeds: Annotated[int, Field(ge=2)] = 5
    means_db: Annotated[tuple[float, ...], Field(min_length=1)] = (-5.0, 0.0, 5.0)
    spreads_db: Annotated[tuple[float, ...], Field(min_length=1)] = (0.0, 3.0, 6.0, 9.0, 12.0)
    fading: Literal["fixed", "rayleigh"] = "fixed"
    transmissions: Annotated[tuple[str, ...], Field(min_length=1)] = DEFAULT_TRANSMISSIONS
    repeats: Annotated[int, Field(ge=1)] = 5
    top_k: Annotated[int, Field(ge=1)] = 1
    gating: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_transmissions(self) -> SweepConfig:
        for name in self.transmissions:
            if name not in TRANSMISSIONS:
                raise ValueError(f"transmissions = {name!r}: valid are {', '.join(TRANSMISSIONS)}")
        GatingConfig(**self.gating)
        return self

    def networks(self, transmission: str, gate: GateKind) -> GatingConfig:
        """Networks and training for one transmission and one gate."""
        tuned = TUNED.get((TRANSMISSIONS[transmission].kind, "best_snr" if gate == "random" else gate), {})
        return GatingConfig(**{**tuned, **dataset_shape(self.dataset), **self.gating, "gate": gate})


class Row(NamedTuple):
    """One accuracy. `trained_with` names the gate that F and Q were trained under, `choice` who picks the expert."""

    transmission: str
    trained_with: str
    choice: str
    mean_db: float
    spread_db: float
    seed: int
    accuracy: float


def pieces(config: SweepConfig) -> list[tuple[int, GateKind, str]]:
    """Seed, gate and kind of transmission of every piece of the work; stage 1 is trained once in each."""
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    kinds = dict.fromkeys(TRANSMISSIONS[name].kind for name in config.transmissions)
    return list(product(seeds, GATES, kinds))


def run_piece(config: SweepConfig, seed: int, gate: GateKind, kind: str) -> list[Row]:
    """One gate under every transmission of a kind for one seed. All models of a seed meet the same SNRs and noise."""
    data = load_split(config.dataset, Path(config.data_root) if config.data_root else None, seed)
    held_out = data.validation if config.split == "validation" else data.test
    names = [name for name in config.transmissions if TRANSMISSIONS[name].kind == kind]
    stage_one = train_stage_one(data, config.networks(names[0], gate), seed=seed)  # it knows no transmission
    rows: list[Row] = []
    for name in names:
        if gate == "naive":
            rows += _measure(config, stage_one, held_out, name, "naive_stage_one", ("gate",), seed)
        model = train_stage_two(stage_one, data, TRANSMISSIONS[name], seed=seed)
        # the channel-aware model's experts also serve every other choice: what is left then is the choice alone
        choices: tuple[Choice, ...] = ("gate", "best_snr", "random", "oracle") if gate == "channel_aware" else ("gate",)
        rows += _measure(config, model, held_out, name, gate, choices, seed)
    return rows


def dataset_shape(dataset: DatasetName) -> dict[str, int]:
    """The fields of `GatingConfig` that a dataset decides."""
    if dataset == "digits":
        return {"image_size": 8, "image_channels": 1, "classes": 10}
    return {"image_size": 32, "image_channels": 3, "classes": CLASSES[dataset]}


def _measure(
    config: SweepConfig,
    model: GatedModel,
    data: LabelledImages,
    transmission: str,
    trained_with: str,
    choices: tuple[Choice, ...],
    seed: int,
) -> list[Row]:
    rows = []
    for mean_db, spread_db in product(config.means_db, config.spreads_db):
        snr = SNRDistribution(mean_db=mean_db, spread_db=spread_db, fading=config.fading)
        reception = receive(
            model, data, transmission=TRANSMISSIONS[transmission], snr=snr, repeats=config.repeats, seed=seed
        )
        for choice in choices:
            accuracy = float(reception.correct(choice, config.top_k).mean())
            rows.append(Row(transmission, trained_with, choice, mean_db, spread_db, seed, accuracy))
    return rows

"""The accuracy experiment: train every gate for every transmission, measure accuracy over the SNR spread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from dmoe_gym.gating.config import GateKind, GatingConfig, SNRDistribution
from dmoe_gym.gating.data import DatasetName
from dmoe_gym.gating.evaluation import Choice, features_of, receive
from dmoe_gym.gating.networks import GatedModel
from dmoe_gym.gating.scenarios import TRANSMISSIONS, transmission_of, tuned_config
from dmoe_gym.gating.training import train_stage_one, train_stage_two
from experiments.gating.accuracies import Accuracies, Row, split_of
from experiments.gating.plots import accuracy_figure, gain_figure
from experiments.gating.tables import middle, results_markdown
from experiments.page import Page
from experiments.runner import Experiment, Piece

DEFAULT_TRANSMISSIONS = tuple(name for name in TRANSMISSIONS if name != "digital_golay2312")
GATES: tuple[GateKind, ...] = ("naive", "channel_aware", "best_snr", "random")
PAGE, IMAGES = "docs/reports/gating.md", "docs/images"


class Gating(Experiment):
    """Accuracy against the spread of the experts' SNRs: naive, channel-aware, best-SNR, random choice, oracle.

    Attributes:
        dataset, data_root: see `data.load_split`.
        split: images that accuracy is measured on; hyperparameters were tuned on "validation", "test" is reported.
        first_seed, seeds: each seed is one split, one set of weights and one set of channels.
        means_db, spreads_db, fading: SNR distributions of the experts, see `SNRDistribution`; all pairs are run.
        transmissions: names out of `TRANSMISSIONS`.
        gates: that networks are trained with; the claims need "naive" and "channel_aware".
        repeats: channel draws per image.
        top_k: experts that serve one input.
        gating: fields of `GatingConfig` and their values, which take precedence over the tuned ones.
    """

    name: ClassVar[str] = "gating"
    about: ClassVar[str] = "does a gate that knows the channel answer better?"
    places: ClassVar[tuple[str, ...]] = (PAGE, f"{IMAGES}/gating_accuracy.png", f"{IMAGES}/gating_gains.png")

    dataset: DatasetName = "digits"
    data_root: str | None = None
    split: Literal["validation", "test"] = "test"
    first_seed: Annotated[int, Field(ge=0)] = 0
    seeds: Annotated[int, Field(ge=2)] = 5
    means_db: Annotated[tuple[float, ...], Field(min_length=1)] = (-5.0, 0.0, 5.0)
    spreads_db: Annotated[tuple[float, ...], Field(min_length=1)] = (0.0, 3.0, 6.0, 9.0, 12.0)
    fading: Literal["fixed", "rayleigh"] = "fixed"
    transmissions: Annotated[tuple[str, ...], Field(min_length=1)] = DEFAULT_TRANSMISSIONS
    gates: tuple[GateKind, ...] = GATES
    repeats: Annotated[int, Field(ge=1)] = 5
    top_k: Annotated[int, Field(ge=1)] = 1
    gating: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _can_run(self) -> Gating:
        for name in self.transmissions:
            transmission_of(name)
        GatingConfig(**self.gating)
        if self.dataset != "digits":  # missing files are said before anything is run
            split_of(self.dataset, self.data_root, self.first_seed)
        if missing := {"naive", "channel_aware"} - set(self.gates):
            raise ValueError(f"gates = {list(self.gates)}: {', '.join(sorted(missing))} must be among them")
        return self

    def pieces(self) -> list[Piece]:
        """A gate under all transmissions of a kind, per seed; stage 1 is trained once in each."""
        kinds = dict.fromkeys(TRANSMISSIONS[name].kind for name in self.transmissions)
        shared = self.model_dump(mode="json", exclude={"first_seed", "seeds", "transmissions", "gates"})
        found = []
        for seed, gate, kind in product(range(self.first_seed, self.first_seed + self.seeds), self.gates, kinds):
            names = [name for name in self.transmissions if TRANSMISSIONS[name].kind == kind]
            networks = [tuned_config(self.dataset, name, gate, **self.gating).model_dump(mode="json") for name in names]
            key = {**shared, "seed": seed, "gate": gate, "transmissions": names, "gating": networks}
            found.append(Piece(train_and_measure, key))
        return found

    def page(self, values: Sequence[Any]) -> Page:
        rows = [row for rows in values for row in rows]
        config = tuned_config(self.dataset, self.transmissions[0], "channel_aware", **self.gating)
        text = results_markdown(rows, self.means_db, self.spreads_db, self.split, self.repeats, config.feature_size)
        of = "" if self.dataset == "digits" else f"_{self.dataset}"
        section = of if config.backbone == "lenet" else f"{of}_{config.backbone}"
        pictures = {
            f"gating{section}_accuracy.png": accuracy_figure(Accuracies(rows, middle(self.means_db))),
            f"gating{section}_gains.png": gain_figure([Accuracies(rows, mean_db) for mean_db in self.means_db]),
        }
        return Page(
            {(PAGE.replace(".md", f"{of}.md"), f"gating{section}-experiment"): text},
            {f"{IMAGES}/{name}": figure for name, figure in pictures.items()},
        )


def train_and_measure(
    seed: int,
    gate: GateKind,
    transmissions: Sequence[str],
    dataset: DatasetName,
    data_root: str | None,
    split: str,
    means_db: Sequence[float],
    spreads_db: Sequence[float],
    fading: Literal["fixed", "rayleigh"],
    repeats: int,
    top_k: int,
    gating: Sequence[dict[str, Any]],
) -> list[Row]:
    """One gate under every transmission for one seed. All models of a seed meet the same SNRs and noise.

    Args:
        gating: fields of `GatingConfig`, for each transmission; others as in `Gating`.
    """
    data = split_of(dataset, data_root, seed)
    held_out = data.validation if split == "validation" else data.test
    channels = [
        SNRDistribution(mean_db=mean_db, spread_db=spread_db, fading=fading)
        for mean_db, spread_db in product(means_db, spreads_db)
    ]
    stage_one = _stage_one(dataset, data_root, GatingConfig(**gating[0]), seed)
    rows: list[Row] = []

    def measure(model: GatedModel, name: str, trained_with: str, choices: tuple[Choice, ...]) -> None:
        transmission, features = TRANSMISSIONS[name], features_of(model, held_out)
        for channel in channels:
            reception = receive(
                model, held_out, transmission=transmission, snr=channel, repeats=repeats, seed=seed, features=features
            )
            for choice in choices:
                # share of an image's channel draws in which it is answered rightly
                right = reception.correct(choice, top_k).reshape(repeats, -1).mean(0)
                rows.append(Row(name, trained_with, choice, channel.mean_db, channel.spread_db, seed, right))

    for name in transmissions:
        if gate == "naive":
            measure(stage_one, name, "naive_stage_one", ("gate",))
        model = train_stage_two(stage_one, data, TRANSMISSIONS[name], seed=seed)
        # the channel-aware model's experts also serve every other choice: what is left then is the choice alone
        measure(model, name, gate, ("gate", "best_snr", "random", "oracle") if gate == "channel_aware" else ("gate",))
    return rows


@lru_cache(maxsize=1)
def _stage_one(dataset: DatasetName, data_root: str | None, config: GatingConfig, seed: int) -> GatedModel:
    """It knows no transmission, so pieces of both kinds that follow each other share it."""
    return train_stage_one(split_of(dataset, data_root, seed), config, seed=seed)

"""Learning rates and weight decays tuned on validation images: `python -m dmoe_gym.gating.experiment.tuning`.

Every gate gets the same grid, seeds and measure under each kind of transmission; its winners are `sweep.TUNED`. The
seeds are not among those that the experiment reports, and no seed's validation images are among the test images.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from tqdm import tqdm

from dmoe_gym.gating.config import GateKind, GatingConfig, SNRDistribution
from dmoe_gym.gating.data import load_digits_split
from dmoe_gym.gating.evaluation import evaluate_accuracy
from dmoe_gym.gating.training import train_two_stage
from dmoe_gym.gating.transmission import Analog, Digital
from dmoe_gym.io.command_line import one_line_errors
from dmoe_gym.io.files import write_json

LEARNING_RATES = (1e-2, 2e-2, 3e-2)
WEIGHT_DECAYS = (1e-4, 1e-1)
GATES: tuple[GateKind, ...] = ("naive", "channel_aware", "best_snr")
TRANSMISSIONS: tuple[Analog | Digital, ...] = (Analog(), Digital())
CHANNELS = [
    SNRDistribution(mean_db=mean_db, spread_db=spread_db)
    for mean_db, spread_db in product((-5.0, 0.0, 5.0), (0.0, 3.0, 6.0, 9.0, 12.0))
]


def validation_accuracy(config: GatingConfig, transmission: Analog | Digital, seed: int) -> float:
    """Mean accuracy over `CHANNELS` of the model's own gate on the digits' validation images."""
    data = load_digits_split(seed)
    model = train_two_stage(data, config, transmission=transmission, seed=seed)
    return float(
        np.mean(
            [
                evaluate_accuracy(model, data.validation, transmission=transmission, snr=channel, repeats=3, seed=seed)
                for channel in CHANNELS
            ]
        )
    )


def tune(transmission: Analog | Digital, gate: GateKind, seeds: range) -> list[dict[str, Any]]:
    """The whole grid for one gate under one transmission, best mean accuracy first."""
    results = []
    for learning_rate, weight_decay in tqdm(list(product(LEARNING_RATES, WEIGHT_DECAYS))):
        config = GatingConfig(gate=gate, learning_rate=learning_rate, weight_decay=weight_decay)
        accuracies = [validation_accuracy(config, transmission, seed) for seed in seeds]
        results.append(
            {
                "transmission": transmission.kind,
                "gate": gate,
                "learning_rate": learning_rate,
                "weight_decay": weight_decay,
                "accuracies": accuracies,
                "mean": float(np.mean(accuracies)),
            }
        )
    return sorted(results, key=lambda row: -row["mean"])


@one_line_errors
def main(
    out: Annotated[Path, typer.Option(help="Folder; one JSON file per gate and transmission.")] = Path(
        "results/gating/tuning"
    ),
    first_seed: Annotated[int, typer.Option(help="First seed.")] = 100,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 2,
    at_most: Annotated[
        int, typer.Option(help="Stop after this many new files; the same command goes on where it stopped.")
    ] = len(TRANSMISSIONS) * len(GATES),
) -> None:
    """Try the whole grid for every gate under every transmission, keep what is finished, print the winners."""
    for transmission, gate in product(TRANSMISSIONS, GATES):
        path = out / f"{transmission.kind}_{gate}.json"
        if not path.exists():
            if at_most == 0:
                continue
            at_most -= 1
            write_json(path, tune(transmission, gate, range(first_seed, first_seed + seeds)))
        for row in json.loads(path.read_text())[:2]:
            print(*(row[key] for key in ("transmission", "gate", "learning_rate", "weight_decay", "mean")))


if __name__ == "__main__":
    typer.run(main)

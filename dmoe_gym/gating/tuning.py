"""Learning rate and weight decay of every gate, tuned on validation images: `python -m dmoe_gym.gating.tuning`.

Every gate gets the same grid, seeds and measure under each kind of transmission; its winners are `sweep.TUNED`. The
seeds are not among those that the experiment reports.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from tqdm import tqdm

from dmoe_gym.gating.config import GateKind, GatingConfig
from dmoe_gym.gating.data import load_digits_split
from dmoe_gym.gating.evaluation import evaluate_accuracy
from dmoe_gym.gating.files import write_whole
from dmoe_gym.gating.snr import SNRDistribution
from dmoe_gym.gating.training import train_two_stage
from dmoe_gym.gating.transmission import Analog, Digital

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


def main(
    out: Annotated[Path, typer.Option(help="JSON file for all results.")] = Path("results/gating/tuning.json"),
    first_seed: Annotated[int, typer.Option(help="First seed.")] = 100,
    seeds: Annotated[int, typer.Option(help="Number of seeds.")] = 2,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
) -> None:
    """Try the whole grid for every gate and print the winners."""
    if out.exists() and not overwrite:
        raise typer.BadParameter(f"{out} exists already; pass --overwrite to replace it")
    results: list[dict[str, Any]] = []
    grid = list(product(TRANSMISSIONS, GATES, LEARNING_RATES, WEIGHT_DECAYS))
    for transmission, gate, learning_rate, weight_decay in tqdm(grid):
        config = GatingConfig(gate=gate, learning_rate=learning_rate, weight_decay=weight_decay)
        accuracies = [validation_accuracy(config, transmission, seed) for seed in range(first_seed, first_seed + seeds)]
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
    for transmission, gate in product(TRANSMISSIONS, GATES):
        tried = [row for row in results if (row["transmission"], row["gate"]) == (transmission.kind, gate)]
        best = max(tried, key=lambda row: row["mean"])
        print(transmission.kind, gate, best["learning_rate"], best["weight_decay"], f"{100 * best['mean']:.1f} %")
    write_whole(out, json.dumps(results, indent=1).encode() + b"\n", overwrite)


if __name__ == "__main__":
    typer.run(main)

"""The transmissions by name, and learning rates and weight decays as tuned for each kind of them."""

from __future__ import annotations

from typing import Any

from dmoe_gym.gating.config import GateKind, GatingConfig
from dmoe_gym.gating.data import CLASSES, DatasetName
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
# Winners of the experiment `gating-tuning`; "random" takes those of "best_snr".
TUNED: dict[tuple[str, str], dict[str, float]] = {
    ("analog", "naive"): {"learning_rate": 2e-2, "weight_decay": 0.1},
    ("analog", "channel_aware"): {"learning_rate": 2e-2, "weight_decay": 0.1},
    ("analog", "best_snr"): {"learning_rate": 2e-2, "weight_decay": 0.1},
    ("digital", "naive"): {"learning_rate": 2e-2, "weight_decay": 1e-4},
    ("digital", "channel_aware"): {"learning_rate": 2e-2, "weight_decay": 1e-4},
    ("digital", "best_snr"): {"learning_rate": 2e-2, "weight_decay": 1e-4},
}


def transmission_of(name: str) -> Analog | Digital:
    """The transmission of a name.

    Raises:
        ValueError: for an unknown one.
    """
    if name not in TRANSMISSIONS:
        raise ValueError(f"transmissions = {name!r}: valid are {', '.join(TRANSMISSIONS)}")
    return TRANSMISSIONS[name]


def tuned_config(dataset: DatasetName, transmission: str, gate: GateKind, **fields: Any) -> GatingConfig:
    """Networks and training for one transmission and one gate; `fields` take precedence over the tuned ones."""
    tuned = TUNED.get((transmission_of(transmission).kind, "best_snr" if gate == "random" else gate), {})
    return GatingConfig(**{**tuned, **dataset_shape(dataset), **fields, "gate": gate})


def dataset_shape(dataset: DatasetName) -> dict[str, int]:
    """The fields of `GatingConfig` that a dataset decides."""
    if dataset == "digits":
        return {"image_size": 8, "image_channels": 1, "classes": 10}
    return {"image_size": 32, "image_channels": 3, "classes": CLASSES[dataset]}

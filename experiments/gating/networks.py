"""The networks that the package ships, each with its channel-aware gate and a naive gate for the same experts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from dmoe_gym.gating.data import load_digits_split
from dmoe_gym.gating.frozen import SHIPPED
from dmoe_gym.gating.training import train_gate, train_two_stage
from dmoe_gym.gating.tuned import TRANSMISSIONS, tuned_config
from experiments.page import Page
from experiments.runner import Experiment, Piece

FOLDER = "dmoe_gym/gating/weights"
# How the shipped networks hear.
HEARD = {"digits_analog": "analog", "digits_digital": "digital_uncoded"}


class GatingNetworks(Experiment):
    """Trained on digits with seed 0; the same bits on the machine that made the shipped ones."""

    name: ClassVar[str] = "gating-networks"
    about: ClassVar[str] = "the gated networks that the package ships"
    places: ClassVar[tuple[str, ...]] = (FOLDER,)

    def pieces(self) -> list[Piece]:
        return [Piece(shipped_files, {"networks": name}) for name in SHIPPED]

    def page(self, values: Sequence[Any]) -> Page:
        return Page(files={f"{FOLDER}/{name}": content for files in values for name, content in files.items()})


def shipped_files(networks: str) -> dict[str, bytes]:
    """The two files of one shipped name."""
    name = HEARD[networks]
    transmission, data = TRANSMISSIONS[name], load_digits_split(0)
    model = train_two_stage(data, tuned_config("digits", name, "channel_aware"), transmission=transmission)
    naive = train_gate(model, "naive", data, transmission)
    with TemporaryDirectory() as folder:
        model.save(Path(folder) / f"{networks}.safetensors")
        naive.save(Path(folder) / f"{networks}_naive.safetensors")
        return {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}

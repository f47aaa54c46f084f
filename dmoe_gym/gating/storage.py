"""Gated models on disk. Loading runs no code from the file."""

from __future__ import annotations

from pathlib import Path

import torch

from dmoe_gym.gating.config import GatingConfig
from dmoe_gym.gating.networks import GatedModel
from dmoe_gym.io.files import write_whole
from dmoe_gym.io.model_file import model_bytes, read_model_file

FORMAT = "dmoe_gym.gating.GatedModel/2"


def save_model(model: GatedModel, path: Path, overwrite: bool = False) -> None:
    """Write the file whole or not at all.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"path = {str(path)!r}: exists already; ask for overwriting to replace it")
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    write_whole(path, model_bytes(FORMAT, model.config.model_dump(mode="json"), arrays))


def load_model(path: Path, name: str = "path") -> GatedModel:
    """Rebuild the model from the file's own configuration, ready for evaluation; `name` is the field that named it.

    Raises:
        NoFileError, ValueError: as `read_model_file`.
        ValueError: one line, for weights that do not fit the configuration.
    """
    fields, arrays = read_model_file(path, FORMAT, name)
    try:
        config = GatingConfig(**fields)
        with torch.device("meta"):  # shapes alone: a file may claim networks that no memory holds
            wanted = {key: tuple(tensor.shape) for key, tensor in GatedModel(config).state_dict().items()}
        given = {key: array.shape for key, array in arrays.items()}
        if wanted != given:
            key = next(key for key in sorted({**wanted, **given}) if wanted.get(key) != given.get(key))
            raise ValueError(f"{key} is {given.get(key, 'missing')}, valid is {wanted.get(key, 'none')}")
        model = GatedModel(config)
        model.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{name} = {str(path)!r}: weights and configuration do not fit ({reason})") from None
    return model.eval()

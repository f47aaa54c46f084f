"""Models on disk: one safetensors file, the configuration as JSON in its header. Loading runs no code from the file."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from dmoe_gym.files import write_whole
from dmoe_gym.gating.config import GatingConfig
from dmoe_gym.gating.networks import GatedModel

FORMAT = "dmoe_gym.gating.GatedModel/1"


def save_model(model: GatedModel, path: Path, overwrite: bool = False) -> None:
    """Write the file whole or not at all.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    header = {"format": FORMAT, "config": json.dumps(model.config.model_dump())}
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if path.exists() and not overwrite:
        raise FileExistsError(f"path = {str(path)!r}: exists already; ask for overwriting to replace it")
    write_whole(path, save(tensors, metadata=header))


def load_model(path: Path) -> GatedModel:
    """Rebuild the model from the file's own configuration, ready for evaluation.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: one line, for a damaged or foreign file, or weights that do not fit the configuration.
    """
    if not path.is_file():
        raise FileNotFoundError(f"path = {str(path)!r}: no such file")
    try:
        with safe_open(path, framework="pt") as stored:
            header = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (not a dict)
    except SafetensorError as error:
        raise ValueError(f"path = {str(path)!r}: not a safetensors file, or damaged ({error})") from None
    if header.get("format") != FORMAT:
        raise ValueError(f"path = {str(path)!r}: format is {header.get('format')!r}, valid is {FORMAT!r}")
    try:
        model = GatedModel(GatingConfig(**json.loads(header["config"])))
        model.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"path = {str(path)!r}: weights and configuration do not fit ({reason})") from None
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"path = {str(path)!r}: {name} holds numbers that are not finite")
    return model.eval()

"""Models on disk: one safetensors file, format and configuration as JSON in its header. Nothing in it is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def model_bytes(kind: str, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of a model file, the same bytes for the same model.

    Args:
        kind: what the file holds, and the version of its layout.
        config: what the model is rebuilt from; JSON values.
        arrays: its parameters.
    """
    from safetensors.numpy import save

    # one entry: safetensors writes several in an order that differs from call to call
    header = {"model": json.dumps({"format": kind, "config": dict(config)}, sort_keys=True)}
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata=header)


def read_model_file(path: Path | str, kind: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Configuration and parameters of a model file of this kind.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: with the command that installs safetensors, if it is missing.
        ValueError: one line, for a damaged or foreign file, or numbers that are not finite.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ImportError("model files need safetensors: pip install 'dmoe_gym[train]'") from None
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path = {str(path)!r}: no such file")
    try:
        with safe_open(path, framework="np") as stored:
            header = _header(stored.metadata())
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (not a dict)
    except SafetensorError as error:
        raise ValueError(f"path = {str(path)!r}: not a safetensors file, or damaged ({error})") from None
    if header.get("format") != kind:
        raise ValueError(f"path = {str(path)!r}: format is {header.get('format')!r}, valid is {kind!r}")
    if not isinstance(header.get("config"), dict):
        raise ValueError(f"path = {str(path)!r}: its configuration is {header.get('config')!r}, valid is a mapping")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"path = {str(path)!r}: {name} holds numbers that are not finite")
    return header["config"], arrays


def _header(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """The entry that `model_bytes` wrote; empty if there is none."""
    try:
        header = json.loads((metadata or {})["model"])
    except (KeyError, ValueError):
        return {}
    return header if isinstance(header, dict) else {}

"""Models on disk: one safetensors file, format and configuration as JSON in its header. Nothing in it is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from dmoe_gym.io.files import read_json, regular_file

# The most that a model file may take; tensors lie in it as they are, so reading takes no more.
MOST_BYTES = 2**31
# What safetensors calls the types that NumPy has, too.
TYPES = ("F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")


def model_bytes(kind: str, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of a model file, the same bytes for the same model.

    Args:
        kind: what the file holds, and the version of its layout.
        config: what the model is rebuilt from; JSON values.
        arrays: its parameters.
    """
    # one entry: safetensors writes several in an order that differs from call to call
    return tensor_bytes({"model": json.dumps({"format": kind, "config": dict(config)}, sort_keys=True)}, arrays)


def tensor_bytes(header: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of a safetensors file, which `read_tensors` reads."""
    return save({name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata=dict(header))


def read_tensors(path: Path | str, name: str = "path") -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """What stands in the header of a safetensors file beside its tensors, and the tensors: the one reader of all.

    Args:
        path: of the file.
        name: the field that named it.

    Raises:
        NoFileError: if there is no such file.
        ValueError: one line, for what is no file, a damaged or foreign one, one of more than `MOST_BYTES`, or tensors
            of types that NumPy does not have (bfloat16, float8) or with numbers that are not finite.
    """
    path = regular_file(path, name, "a safetensors file's path")
    where, size = f"{name} = {str(path)!r}", path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{where}: takes {size:,} bytes, valid are at most {MOST_BYTES:,}")
    arrays: dict[str, np.ndarray] = {}
    try:
        with safe_open(path, framework="np") as stored:
            for key in stored.keys():  # noqa: SIM118  (not a dict)
                kind = stored.get_slice(key).get_dtype()
                if kind not in TYPES:
                    raise ValueError(f"{where}: {key} is of type {kind}, valid are {', '.join(TYPES)}")
                arrays[key] = stored.get_tensor(key)
            metadata = dict(stored.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{where}: not a safetensors file, or damaged ({error})") from None
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{where}: {key} holds numbers that are not finite")
    return metadata, arrays


def read_model_file(path: Path | str, kind: str, name: str = "path") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Configuration and parameters of a model file of this kind.

    Raises:
        ValueError: as `read_tensors`, and for a file of another kind.
    """
    metadata, arrays = read_tensors(path, name)
    where = f"{name} = {str(path)!r}"
    header = read_json(metadata["model"], f"{where}: its header") if "model" in metadata else {}
    if header.get("format") != kind:
        raise ValueError(f"{where}: format is {header.get('format')!r:.99}, valid is {kind!r}")
    if not isinstance(header.get("config"), dict):
        raise ValueError(f"{where}: its configuration is {header.get('config')!r:.99}, valid is a mapping")
    return header["config"], arrays

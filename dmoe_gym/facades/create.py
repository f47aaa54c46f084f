"""Building a core from the import path that the registration names."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dmoe_gym.core import BatchedCore


def core_class(path: str) -> type[BatchedCore]:
    """The class named by "module:Class".

    Raises:
        ImportError: naming what to install, if the system needs a package that is not there.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dmoe_gym"):
            raise
        raise ImportError(f"{path} needs {error.name}: pip install 'dmoe_gym[train]'") from None


def create_core(path: str, num_envs: int, scenario: str | None, overrides: Mapping[str, Any]) -> BatchedCore:
    """An instance of the class named by "module:Class".

    Raises:
        ValueError: for an unknown scenario or override, or an invalid value.
    """
    return core_class(path).create(num_envs, scenario, **overrides)

"""Building a core from the import path that the registration names."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dmoe_gym.core import BatchedCore


def core_class(path: str) -> type[BatchedCore]:
    """The class named by "module:Class"."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def create_core(path: str, num_envs: int, scenario: str | None, overrides: Mapping[str, Any]) -> BatchedCore:
    """An instance of the class named by "module:Class".

    Raises:
        ValueError: for an unknown scenario or override, or an invalid value.
    """
    return core_class(path).create(num_envs, scenario, **overrides)

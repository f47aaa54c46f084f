"""Building a core from the import path that the registration names."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dmoe_gym.core import BatchedCore


def create_core(path: str, num_envs: int, scenario: str | None, overrides: Mapping[str, Any]) -> BatchedCore:
    """The core named by "module:Class".

    Raises:
        ValueError: for an unknown scenario or override, or an invalid value.
    """
    module, _, name = path.partition(":")
    return getattr(import_module(module), name).create(num_envs, scenario, **overrides)

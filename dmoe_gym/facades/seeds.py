"""Seeds as callers give and are told them: one whole number that gives the same episodes in every facade.

Environment i of a batch that was seeded with one number s draws from (s, i), which no seed below 2^128 gives. So that
the seed of every environment can be told, whole numbers from 2^128 on mean such pairs: s + i 2^128.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

_INDEX = 2**128


def told_seed(seed: int, index: int) -> int:
    """The one number that gives the episodes of (seed, environment index)."""
    return seed + index * _INDEX


def checked_seed(seed: Any, name: str = "seed") -> tuple[int, int]:
    """(seed, environment index) of a seed that was given.

    Raises:
        ValueError: if it is no whole number of at least 0.
    """
    try:
        number = -1 if isinstance(seed, bool | np.bool_) else operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"{name} = {seed!r}: valid are whole numbers of at least 0")
    return number % _INDEX, number // _INDEX


def seeded_pair(seed: Any, options: Mapping[str, Any] | None) -> tuple[int, int] | None:
    """(seed, environment index) that a reset of one environment is to start from; None to go on.

    Args:
        seed: None, or a whole number.
        options: None, or {"environment_index": i}: with a seed, the episodes of environment i of a batch.

    Raises:
        ValueError: for another seed, an unknown option, or an environment index without a seed.
    """
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"options = {options!r}: valid is a mapping with the key 'environment_index'")
    for key in options or {}:
        if key != "environment_index":
            raise ValueError(f"options: unknown key {key!r}; valid is 'environment_index'")
    index = (options or {}).get("environment_index")
    if seed is None:
        if index is not None:
            raise ValueError(f"options['environment_index'] = {index!r}: valid only together with a seed")
        return None
    pair = checked_seed(seed)
    if index is None:
        return pair
    number, own = checked_seed(index, "options['environment_index']")
    if pair[1] or own:
        raise ValueError(f"options['environment_index'] = {index!r}: valid with a seed below 2^128 = {_INDEX} only")
    return pair[0], number

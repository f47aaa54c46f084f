"""How the suite compiles functions: with Numba, kept on disk by the content of their sources."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numba

from dmoe_gym.compiled.cache import ContentCache

# numba's name for counted references, documented for its extensions only
_COUNTED = "_nrt"


def njit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """`numba.njit` with the suite's cache (see `cache`)."""

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        enabled = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]  # numba sets its options at import
        if enabled and os.path.isfile(function.__code__.co_filename):  # inside an archive there is no source
            dispatcher._cache = ContentCache(function)
        return dispatcher

    return compiled if function is None else compiled(function)


def njit_no_refcount(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """`njit` for functions that take arrays, slice them and call others, but make no array themselves.

    Numba counts a reference for every slice and nearly every array argument, by a call and an atomic addition each.
    In functions this small that was a third of their time and more. What they call is compiled likewise, unless it is
    `njit_allocating`. Divisions by zero are infinite, as in numpy: to check for them keeps the compiler from vector
    code.
    """
    return njit(function, **{"error_model": "numpy", _COUNTED: False, **options})


def njit_allocating(function: Callable[..., Any]) -> Any:
    """`njit` for functions that make arrays and are called from those without counted references."""
    return njit(function, **{_COUNTED: True})

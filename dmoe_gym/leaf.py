"""Compiled functions that allocate nothing, and so need no counting of references."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

# numba's name for counted references, documented for its extensions only
_COUNTED = "_nrt"


def leaf(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """`numba.njit` for functions that take arrays, slice them and call others, but make no array themselves.

    Numba counts a reference for every slice and nearly every array argument, by a call and an atomic addition each.
    In functions this small that was a third of their time and more. What they call is compiled likewise, unless it is
    `allocating`. Divisions by zero are infinite, as in numpy: to check for them keeps the compiler from vector code.
    """
    options = {"cache": True, "error_model": "numpy", _COUNTED: False, **options}
    compile: Any = njit(**options)
    return compile if function is None else compile(function)


def allocating(function: Callable[..., Any]) -> Any:
    """`numba.njit` for functions that make arrays and are called from leaves."""
    options: dict[str, Any] = {"cache": True, _COUNTED: True}
    return njit(**options)(function)

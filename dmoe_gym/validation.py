"""Checks of arrays that users hand in: one clear ValueError naming the field, the value and what is valid."""

from __future__ import annotations

from typing import Any

import numpy as np

# Scores that travelled as 32-bit numbers sum to one within this.
SUM_TOLERANCE = 1e-4


def checked_array(
    name: str,
    value: Any,
    shape: tuple[int, ...],
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    dtype: type = np.float64,
) -> np.ndarray:
    """A read-only copy of `value` as `dtype`, of exactly `shape`, finite and within [minimum, maximum].

    Raises:
        ValueError: naming `name`, the offending value and its index, and what is valid.
    """
    try:
        if np.iscomplexobj(value):
            raise TypeError("complex numbers, whose imaginary parts would be lost")
        array: np.ndarray = np.array(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: cannot be read as an array of {np.dtype(dtype).name} ({error})") from None
    if array.shape != shape:
        raise ValueError(f"{name}: has shape {array.shape}, valid is {shape}")
    if dtype is not bool:
        _check_range(name, array, minimum, maximum)
    array.setflags(write=False)
    return array


def checked_bool_array(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A read-only boolean copy of `value`; entries must be False/True or 0/1.

    Raises:
        ValueError: on another shape or other entries.
    """
    array = np.asarray(value)
    if array.dtype != bool and not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name}: holds entries other than False/True or 0/1")
    return checked_array(name, array, shape, dtype=bool)


def in_words(value: Any) -> str:
    """A value for an error's one line: written out where that is short, else its type."""
    text = repr(value)
    return text if len(text) <= 200 and "\n" not in text else f"an object of type {type(value).__name__}"


def checked_rows(name: str, values: Any, shape: tuple[int, ...], rows: Any, maximum: float | None = None) -> np.ndarray:
    """The entries `rows` of an own component's array: of `shape`, and there finite, not negative, at most `maximum`.

    Raises:
        ValueError: naming `name`, the offending value and its index, and what is valid.
    """
    if not isinstance(values, np.ndarray) or values.shape != shape or values.dtype.kind not in "fiub":
        given = f"shape {values.shape} and dtype {values.dtype}" if isinstance(values, np.ndarray) else in_words(values)
        raise ValueError(f"{name}: has {given}, valid is an array of real numbers of shape {shape}")
    chosen = values[rows]
    _check_range(name, chosen, 0.0, maximum)
    return chosen


def require_sum_of_one(name: str, values: np.ndarray) -> None:
    """Refuse scores whose last axis does not sum to one.

    Raises:
        ValueError: naming the first such row and its sum.
    """
    sums = values.sum(-1, dtype=np.float64)
    wrong = ~(np.abs(sums - 1) <= SUM_TOLERANCE)
    if wrong.any():
        place = tuple(int(part) for part in np.argwhere(wrong)[0])
        raise ValueError(f"{name}{list(place)} sum to {sums[place]}: valid is a sum of 1 within {SUM_TOLERANCE}")


def _check_range(name: str, array: np.ndarray, minimum: float | None, maximum: float | None) -> None:
    low = -np.inf if minimum is None else minimum
    high = np.inf if maximum is None else maximum
    wrong = ~np.isfinite(array) | (array < low) | (array > high)
    if wrong.any():
        index = tuple(int(part) for part in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name}{list(index) or ''} = {array[index]}: valid are finite numbers"
            + (f" of at least {minimum}" if minimum is not None else "")
            + (f" and at most {maximum}" if maximum is not None else "")
        )

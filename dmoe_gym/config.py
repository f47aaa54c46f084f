"""Strict, frozen configuration: the one base class of every configuration in the suite."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

Config = TypeVar("Config", bound="StrictConfig")


class UnknownFieldError(TypeError, ValueError):
    """A field that a configuration does not have: Python's words for an unknown keyword, which callers look for.

    A `ValueError` as well, since it may stand in a file.
    """


class StrictConfig(BaseModel):
    """A frozen configuration that accepts known fields of the right type and nothing else.

    Raises:
        UnknownFieldError: for a field that it does not have, naming those it has.
        ValueError: one line that names the field, the value given and what is valid.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            unknown = any(part["type"] == "extra_forbidden" and len(part["loc"]) == 1 for part in error.errors())
            raise (UnknownFieldError if unknown else ValueError)(_one_line(type(self), error)) from None

    @model_validator(mode="before")
    @classmethod
    def _python_scalars(cls, fields: Any) -> Any:
        """Turn NumPy scalars into Python's: strict mode would refuse them."""
        if isinstance(fields, dict):
            return {key: value.item() if isinstance(value, np.generic) else value for key, value in fields.items()}
        return fields

    def __eq__(self, other: object) -> bool:
        # fields alone: pydantic would also compare what `cached_property` keeps, and arrays have no one truth value
        if type(self) is not type(other):
            return NotImplemented
        return self._values() == other._values()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in type(self).model_fields)

    def replace(self, /, **overrides: Any) -> Self:
        """A copy with some fields replaced, validated like a new one.

        Raises:
            UnknownFieldError: for an unknown field.
            ValueError: for an invalid value.
        """
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **overrides})


def named(scenarios: Mapping[str, Config], name: str) -> Config:
    """The configuration of that name.

    Raises:
        ValueError: for an unknown name, listing the valid ones.
    """
    if not isinstance(name, str) or name not in scenarios:
        raise ValueError(f"scenario = {name!r}: valid are {', '.join(scenarios)}")
    return scenarios[name]


class SystemConfig(StrictConfig):
    """The configuration of a system that environments run."""

    def numbers(self) -> int:
        """About how many 32-bit numbers one environment keeps, observations, spaces and channel included."""
        return 0


MEMORY_GIB = 4


def require_memory(numbers: float, what: str) -> None:
    """Refuse what would take more than 4 GiB of 32-bit numbers, before it is taken.

    Args:
        what: the fields that decide, with their values.
    """
    size = 4 * numbers / 2**30
    if size > MEMORY_GIB:
        raise ValueError(f"{what}: would take about {size:.3g} GiB, valid are at most {MEMORY_GIB} GiB")


def kind_alone(value: object) -> object:
    """Read a bare name as the kind with its default parameters: channel="gauss_markov"."""
    return {"kind": value} if isinstance(value, str) else value


def list_as_tuple(value: object) -> object:
    """YAML has no tuples, and numbers may come as an array."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value


_SHORT = reprlib.Repr()
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 20
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 200


def _short(value: object) -> str:
    """A value in an error: nobody reads a megabyte."""
    return _SHORT.repr(value)


def _one_line(config: type[StrictConfig], error: ValidationError) -> str:
    """All complaints of one validation as one line, each naming field, value and what is valid."""
    complaints = []
    for complaint in error.errors():
        path = ".".join(str(part) for part in complaint["loc"]) or config.__name__
        if complaint["type"] == "extra_forbidden":
            valid = ", ".join(sorted(config.model_fields))
            words = f"got an unexpected keyword argument {path!r}; valid fields are {valid}"
            complaints.append(f"{config.__name__}() {words}")
        elif complaint["type"] == "missing" and path in config.model_fields:
            complaints.append(f"{config.__name__}.{path}: {complaint['msg']}")
        elif complaint["type"] == "value_error":
            named = f"{config.__name__}.{path} " if complaint["loc"] else f"{config.__name__}: "
            complaints.append(f"{named}{complaint['ctx']['error']}")
        else:
            complaints.append(f"{config.__name__}.{path} = {_short(complaint['input'])}: {complaint['msg']}")
    return "; ".join(complaints)

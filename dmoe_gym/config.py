"""Strict, frozen configuration: the one base class of every configuration in the suite."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator


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

    def __init__(self, **fields: Any) -> None:
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

    def replace(self, **overrides: Any) -> Self:
        """A copy with some fields replaced, validated like a new one.

        Raises:
            UnknownFieldError: for an unknown field.
            ValueError: for an invalid value.
        """
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **overrides})


def kind_alone(value: object) -> object:
    """Read a bare name as the kind with its default parameters: channel="gauss_markov"."""
    return {"kind": value} if isinstance(value, str) else value


def list_as_tuple(value: object) -> object:
    """YAML has no tuples, and numbers may come as an array."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value


def _one_line(config: type[StrictConfig], error: ValidationError) -> str:
    """All complaints of one validation as one line, each naming field, value and what is valid."""
    complaints = []
    for complaint in error.errors():
        path = ".".join(str(part) for part in complaint["loc"]) or config.__name__
        if complaint["type"] == "extra_forbidden":
            valid = ", ".join(sorted(config.model_fields))
            complaints.append(
                f"{config.__name__}() got an unexpected keyword argument {path!r}; valid fields are {valid}"
            )
        elif complaint["type"] == "missing" and path in config.model_fields:
            complaints.append(f"{config.__name__}.{path}: {complaint['msg']}")
        elif complaint["type"] == "value_error":
            where = ".".join(str(part) for part in (config.__name__, *complaint["loc"]))
            complaints.append(f"{where}: {complaint['ctx']['error']}")
        else:
            complaints.append(f"{config.__name__}.{path} = {complaint['input']!r}: {complaint['msg']}")
    return "; ".join(complaints)

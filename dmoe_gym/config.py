"""Strict, frozen configuration: the one base class of every configuration in the suite."""

from __future__ import annotations

import reprlib
from abc import ABC
from collections.abc import Mapping
from inspect import isabstract
from typing import Any, Self, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

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


Config = TypeVar("Config", bound="StrictConfig")


class UnknownFieldError(TypeError, ValueError):
    """A field that a configuration does not have: Python's words for an unknown keyword, which callers look for.

    A `ValueError` as well, since it may stand in a file.
    """


def plain(fields: Any) -> Any:
    """What strict mode would refuse of fields as its like: NumPy's scalars as Python's, lists as tuples."""
    if not isinstance(fields, dict):
        return fields
    return {
        key: value.item() if isinstance(value, np.generic) else list_as_tuple(value) for key, value in fields.items()
    }


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
    def _plain(cls, fields: Any) -> Any:
        return plain(fields)

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
        dropped = self._decided_anew(overrides)
        kept = {name: getattr(self, name) for name in type(self).model_fields if name not in dropped}
        return type(self)(**{**kept, **overrides})

    def _decided_anew(self, overrides: Mapping[str, Any]) -> set[str]:
        """Fields that are not kept where these are replaced."""
        return set()


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


# Values in errors: nobody reads a megabyte.
_SHORT = reprlib.Repr()
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 20
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 200


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
            complaints.append(f"{config.__name__}.{path} = {_SHORT.repr(complaint['input'])}: {complaint['msg']}")
    return "; ".join(complaints)


_REGISTERED: list[type[Component]] = []


class Component(StrictConfig, ABC):
    """The configuration of a part; what its subclasses are asked for says the base class of each part.

    Fields hold numbers, text, tuples and other configurations, so that two configurations can be compared and hashed.
    A `kind` (`kind: Literal["name"] = "name"`) is needed for text files alone.
    """


C = TypeVar("C", bound=Component)


def register(component: type[C]) -> type[C]:
    """Make a component's kind known by name; to be used as a decorator.

    Raises:
        TypeError: for what is no concrete subclass of a part's base class, or has no kind.
        ValueError: if another class has the kind already.
    """
    if not (isinstance(component, type) and issubclass(component, Component)) or isabstract(component):
        raise TypeError(f"register({component!r}): valid is a subclass of a component's base class that says all of it")
    kind = _kind(component)
    if not isinstance(kind, str) or not kind:
        raise TypeError(f'register({component.__name__}): has no kind, valid is kind: Literal["name"] = "name"')
    rival = kinds(_root(component)).get(kind)
    # a module that is loaded again defines its classes anew
    if rival is not None and _place(rival) != _place(component):
        raise ValueError(f"register({component.__name__}): kind {kind!r} is that of {'.'.join(_place(rival))} already")
    if rival is not None:
        _REGISTERED.remove(rival)
    _REGISTERED.append(component)
    return component


def kinds(base: type[C]) -> dict[str, type[C]]:
    """The registered subclasses of a base class by their kind, in alphabetical order."""
    return dict(sorted((_kind(known), known) for known in _REGISTERED if issubclass(known, base)))


def read_as(base: type[C], default: type[C] | None = None) -> BeforeValidator:
    """What reads a field of a component: an instance, a kind's name, or a mapping of a kind and its parameters.

    Args:
        base: what an instance must be.
        default: the class of a mapping without a kind.
    """

    def read(value: Any) -> Any:
        if isinstance(value, base):
            _require_hash(value)
            return value
        fields = {"kind": value} if isinstance(value, str) else value
        if isinstance(fields, dict) and all(isinstance(name, str) for name in fields):
            known = kinds(base)
            if default is not None and "kind" not in fields:
                return default(**fields)
            if isinstance(fields.get("kind"), str) and fields["kind"] in known:
                return known[fields["kind"]](**fields)
        hint = f"; {value.__name__}() is one" if isinstance(value, type) and issubclass(value, base) else ""
        names = ", ".join(map(repr, kinds(base)))
        raise ValueError(f"is {in_words(value)}, valid are the kinds {names} or an instance of a {base.__name__}{hint}")

    return BeforeValidator(read)


def is_foreign(component: Component) -> bool:
    """Is a component, or a part of it, from outside of this package, whose own parts its tests hold?"""
    parts = (getattr(component, name) for name in type(component).model_fields)
    outside = type(component).__module__.partition(".")[0] != __name__.partition(".")[0]
    return outside or any(isinstance(part, Component) and is_foreign(part) for part in parts)


def _kind(component: type[Component]) -> Any:
    field = component.model_fields.get("kind")
    return None if field is None else field.default


def _root(component: type[Component]) -> type[Component]:
    """The base class of the part that a component is of."""
    return next(cls for cls in reversed(component.__mro__) if issubclass(cls, Component) and cls is not Component)


def _place(component: type) -> tuple[str, str]:
    return component.__module__, component.__qualname__


def _require_hash(value: Component) -> None:
    try:
        hash(value)
    except TypeError as error:
        raise ValueError(
            f"is {value!r}, whose fields must be numbers, text, tuples or configurations ({error})"
        ) from None

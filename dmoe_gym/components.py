"""Parts of a system that users may bring themselves: channels, mobility, channel knowledge, sources of gate scores.

A part is a configuration: a subclass of its base class, whose instance goes into a system's configuration as it is.
`register` makes its `kind` known, so that text files can name it as they name the package's own.
"""

from __future__ import annotations

from abc import ABC
from inspect import isabstract
from typing import Any, TypeVar

from pydantic import BeforeValidator

from dmoe_gym.config import StrictConfig, list_as_tuple
from dmoe_gym.validation import in_words

_REGISTERED: list[type[Component]] = []


class Component(StrictConfig, ABC):
    """The configuration of a part; what its subclasses are asked for says the base class of each part.

    Fields hold numbers, text, tuples and other configurations, so that two configurations can be compared and hashed.
    A `kind` (`kind: Literal["name"] = "name"`) is needed for text files alone.
    """

    def __init__(self, **fields: Any) -> None:
        super().__init__(**{name: list_as_tuple(value) for name, value in fields.items()})


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


def kind_of(component: Component) -> str:
    """A component's kind, or its class's name where it has none: for titles."""
    return getattr(component, "kind", type(component).__name__)


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

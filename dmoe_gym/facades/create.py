"""Building a core from what the registration says of an id."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import gymnasium as gym

from dmoe_gym.config import UnknownFieldError
from dmoe_gym.core import BatchedCore
from dmoe_gym.facades.view import View

# Pictures a second, in windows and films.
FRAMES_PER_SECOND = 2


def registered(env_id: str) -> dict[str, Any]:
    """What the registration of an id of this suite gives its facades: `core`, and how they show it (`view.View`).

    Raises:
        ValueError: for an id that dmoe_gym does not register.
    """
    try:
        kwargs = gym.spec(env_id).kwargs
    except (gym.error.Error, AttributeError, TypeError) as error:
        raise ValueError(f"env_id = {env_id!r}: {error}") from None
    if "core" not in kwargs:
        raise ValueError(f"env_id = {env_id!r}: valid are the ids that dmoe_gym registers")
    return dict(kwargs)


def played_id(env_id: str) -> str:
    """The id whose episodes an id shows, where it is a view of another; analytic policies act there."""
    core = registered(env_id)["core"]
    return next(known for known, spec in gym.registry.items() if spec.kwargs == {"core": core})


def core_class(path: str) -> type[BatchedCore]:
    """The class named by "module:Class".

    Raises:
        ImportError: naming what to install, if the system needs a package that is not there.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dmoe_gym"):
            raise
        raise ImportError(f"{path} needs {error.name}: pip install 'dmoe_gym[train]'") from None


def create_core(path: str, num_envs: int, scenario: str | None, overrides: Mapping[str, Any]) -> BatchedCore:
    """An instance of the class named by "module:Class".

    Raises:
        UnknownFieldError: for an unknown override.
        ValueError: for an unknown scenario, or an invalid value; where the value is the scenario's, naming it.
    """
    try:
        return core_class(path).create(num_envs, scenario, **overrides)
    except UnknownFieldError:
        raise
    except ValueError as error:
        said = str(error)
        if scenario is None or said.startswith("scenario") or any(name in said for name in ("num_envs", *overrides)):
            raise
        raise ValueError(f"scenario = {scenario!r}: {said}") from None


def create_view(env_id: str, num_envs: int, scenario: str | None, overrides: Mapping[str, Any]) -> View:
    """A registered id's core, as the id shows it.

    Raises:
        ValueError: for an unknown id, or as `create_core`.
    """
    shows = registered(env_id)
    return View(create_core(shows.pop("core"), num_envs, scenario, overrides), **shows)


def checked_flags(**flags: Any) -> None:
    """Refuse what is no bool.

    Raises:
        ValueError: naming the flag.
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ValueError(f"{name} = {value!r}: valid are False and True")

"""What an id is, in words: `env.unwrapped.__doc__`, which `help` shows, and the site's pages say the same."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from gymnasium import spaces

from dmoe_gym.core import BatchedCore
from dmoe_gym.facades.view import View
from dmoe_gym.registration import ENVIRONMENTS, system_of


class Part(NamedTuple):
    """A named part of an observation or of an action.

    Attributes:
        name: an observation's key, or what a part of an action is called.
        size: in the configuration's symbols, a shape or a count; empty for a part that no core has described.
        meaning: units in brackets.
    """

    name: str
    size: str
    meaning: str


def story(core: BatchedCore) -> list[str]:
    """The paragraphs of a core's description, its own first, then those of what it is a kind of.

    Bases that are another id's, whose actions are others, tell nothing; nor do attributes. Its name where it has no
    description, as under `python -OO`.
    """
    cores = {each.core for each in ENVIRONMENTS.values()}
    own, *bases = (kind for kind in type(core).__mro__ if issubclass(kind, BatchedCore) and kind is not BatchedCore)
    told = [own, *(kind for kind in bases if not {kind, f"{kind.__module__}:{kind.__qualname__}"} & cores)]
    described = [kind.__doc__ for kind in told if kind.__doc__] or [type(core).__name__]
    parts = [part for text in described for part in inspect.cleandoc(text).split("\n\n")]
    return [part for part in parts if not part.startswith(("Attributes:", "Args:"))]


def observed(core: BatchedCore) -> list[Part]:
    """The parts of an observation, in the order of the space."""
    space = core.observation_space
    keys = list(space) if isinstance(space, spaces.Dict) else [str(core.alone)]
    return [_part(key, core.meaning.get(key, "")) for key in keys]


def decided(core: BatchedCore) -> list[Part]:
    """The parts of an action, in their order; of `Discrete` the actions, else the entries."""
    return [_part(name, said) for name, said in core.entries.items()]


def _part(name: str, said: str) -> Part:
    size, _, meaning = said.partition(": ")
    return Part(name, size, meaning)


def short(space: spaces.Space) -> str:
    """A space in a line."""
    if isinstance(space, spaces.Dict):
        return f"Dict of {len(space.spaces)} arrays"
    if isinstance(space, spaces.MultiDiscrete):
        return f"MultiDiscrete of {space.nvec.size}"
    if isinstance(space, spaces.Box) and not (np.ptp(space.low) == np.ptp(space.high) == 0):
        return f"Box of {space.shape} {space.dtype}, the parts in this order, each row by row"
    return str(space)


def told(env_id: str, view: View) -> str:
    """The manual of an id as text."""
    return "\n".join(_lines(env_id, view))


def _lines(env_id: str, view: View) -> Iterator[str]:
    core, system = view.core, system_of(env_id)
    first, *rest = story(core)
    yield from (f"{env_id}: {first}", "", *(line for part in rest for line in (part, "")))
    yield f"Observation: {short(view.observation_space)}"
    for part in observed(core):
        shape = core.observations[part.name].shape[1:]
        yield f"    {part.name} {part.size} = {shape} float32: {part.meaning}"
    yield f"Action: {short(view.action_space)}"
    yield from (f"    {part.name}, {part.size}: {part.meaning}" for part in decided(core))
    yield f"Reward: {core.reward}"
    yield f"Info: {', '.join(core.term_names)}"
    yield f"Scenarios: {', '.join(system.scenarios)}"
    yield f"Further arguments: render_mode, and the fields of {type(core.config).__name__}"

"""How facades see their environments: the record's viewer watches the core, if a render mode is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from dmoe_gym.core import BatchedCore
from dmoe_gym.registration import system_of
from dmoe_gym.rendering import Viewer

# Pictures a second, in windows and films.
FRAMES_PER_SECOND = 2


def watched(core: BatchedCore, env_id: str, render_mode: str | None, modes: Sequence[str]) -> Viewer | None:
    """The viewer of a core, which records from now on; None without a render mode.

    Args:
        modes: what the facade can show.

    Raises:
        ValueError: for another render mode.
    """
    viewer = system_of(env_id).viewer
    valid = modes if viewer is not None else ()
    if render_mode is not None and render_mode not in valid:
        raise ValueError(f"render_mode = {render_mode!r}: valid are None, {', '.join(map(repr, valid))}")
    if viewer is None or render_mode is None:
        return None
    core.recorder = viewer.recorder(core)
    return viewer

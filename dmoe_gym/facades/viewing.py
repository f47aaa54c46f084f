"""How facades show their environments: the record's viewer watches the core, and a window for render_mode="human"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dmoe_gym.core import BatchedCore
from dmoe_gym.registration import system_of
from dmoe_gym.rendering import Viewer


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


class Window:
    """Shows pictures one after the other with pygame.

    Raises:
        ImportError: with the command that installs pygame, if it is missing.
    """

    def __init__(self, frames_per_second: int) -> None:
        try:
            import pygame
        except ImportError:
            raise ImportError("render_mode='human' needs pygame: pip install 'dmoe_gym[render]'") from None
        self._pygame = pygame
        pygame.display.init()
        self._surface: pygame.Surface | None = None
        self._clock = pygame.time.Clock()
        self._frames_per_second = frames_per_second

    def show(self, picture: np.ndarray) -> None:
        """Draw a (height, width, 3) uint8 picture and wait for the frame's end."""
        pygame = self._pygame
        size = picture.shape[1], picture.shape[0]
        if self._surface is None or self._surface.get_size() != size:
            self._surface = pygame.display.set_mode(size)
            pygame.display.set_caption("dmoe_gym")
        pygame.event.pump()
        self._surface.blit(pygame.surfarray.make_surface(picture.swapaxes(0, 1)), (0, 0))
        pygame.display.flip()
        self._clock.tick(self._frames_per_second)

    def close(self) -> None:
        """Close the window."""
        self._pygame.display.quit()

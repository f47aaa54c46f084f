"""A window for render_mode="human"."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from dmoe_gym.io.extras import needed_for


class Window:
    """Shows pictures one after the other with pygame.

    pygame has one window in a process, which Gymnasium's own environments use too. It is opened again where another
    one closed it, and left open as long as somebody else shows something.

    Raises:
        ImportError: with the command that installs pygame, if it is missing.
    """

    # windows of this suite that are open, and the size that the last of them gave the one there is
    _open: ClassVar[set[Window]] = set()
    _size: ClassVar[tuple[int, int] | None] = None

    def __init__(self, frames_per_second: int) -> None:
        with needed_for("render_mode='human'"):
            import pygame  # noqa: F401
        self._frames_per_second = frames_per_second
        self._clock: Any = None

    def show(self, picture: np.ndarray) -> None:
        """Draw a (height, width, 3) uint8 picture and wait for the frame's end."""
        import pygame

        size = picture.shape[1], picture.shape[0]
        surface = pygame.display.get_surface()
        if surface is None or surface.get_size() != size:
            surface = pygame.display.set_mode(size)
            pygame.display.set_caption("dmoe_gym")
        Window._open.add(self)
        Window._size = size
        pygame.event.pump()
        surface.blit(pygame.surfarray.make_surface(picture.swapaxes(0, 1)), (0, 0))
        pygame.display.flip()
        self._clock = self._clock or pygame.time.Clock()
        self._clock.tick(self._frames_per_second)

    def close(self) -> None:
        """Close the window, unless another environment shows something in it."""
        import pygame

        Window._open.discard(self)
        if Window._open or not pygame.display.get_init():
            return
        surface = pygame.display.get_surface()
        if surface is None or surface.get_size() == Window._size:
            pygame.display.quit()

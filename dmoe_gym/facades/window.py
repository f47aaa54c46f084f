"""A window for render_mode="human"."""

from __future__ import annotations

import numpy as np


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

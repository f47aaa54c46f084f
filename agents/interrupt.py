"""Ctrl-C and SIGTERM during training: once, and the run stops when it is whole; twice, and it stops at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Whether somebody asked this process to stop.

    Attributes:
        asked: so it is; who is whole then raises KeyboardInterrupt by `check`.
        at_once: raise where the signal arrives: for long work that leaves nothing half-done.
    """

    def __init__(self) -> None:
        self.asked = False
        self.at_once = False

    def check(self) -> None:
        """Stop here, if it was asked for.

        Raises:
            KeyboardInterrupt: so it is.
        """
        if self.asked:
            raise KeyboardInterrupt

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals."""
        if self.at_once or self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("stopping after this update; Ctrl-C again stops at once", file=sys.stderr, flush=True)


@contextmanager
def handled(handler: signal._HANDLER) -> Iterator[None]:
    """Handle both signals so in the meantime; in a thread other than the main one they stay as they are."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def stop(number: int, frame: FrameType | None) -> None:
    """A handler that stops at once, whichever signal it is.

    Raises:
        KeyboardInterrupt: always.
    """
    raise KeyboardInterrupt

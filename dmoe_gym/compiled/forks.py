"""Forked processes: the threads of their parent did not come along, and what waits for them waits for ever.

Registered when the package is imported, so without Numba and torch. In a forked process compiled
loops (`threads`) and torch run on one thread; workers are many anyway, and no number changes.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

_forked = False


def forked() -> bool:
    """Was this process forked by one that had imported the package?"""
    return _forked


def _one_thread_from_now_on() -> None:
    global _forked  # a process is forked or it is not
    _forked = True
    with suppress(OSError):  # where nobody has loaded it
        # numba and torch share this library, torch may be imported only later
        ctypes.CDLL("libgomp.so.1", os.RTLD_NOLOAD | os.RTLD_NOW).omp_set_num_threads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def register_forks() -> None:
    """Let every process that this one forks from now on do so."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_one_thread_from_now_on)

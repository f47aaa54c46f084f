"""Forked processes: the threads of their parent did not come along, and what waits for them waits for ever.

Registered when the package is imported, so without Numba and torch. In a forked process compiled
loops (`threads`) and torch run on one thread; workers are many anyway, and no number changes. While another thread
compiles, a fork waits: in the child nobody would give the compiler's locks back.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from typing import Any

_forked = False
_held: list[Any] = []


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


def _hold_compiler() -> None:
    """Numba's lock, then llvmlite's: the order in which compiling takes them."""
    for module, path in (
        ("numba.core.compiler_lock", ("global_compiler_lock", "_lock")),
        ("llvmlite.binding.ffi", ("lib", "_lock", "_lock")),
    ):
        lock: Any = sys.modules.get(module)
        for name in path:
            lock = getattr(lock, name, None)
        if lock is not None:
            lock.acquire()
            _held.append(lock)


def _release_compiler() -> None:
    while _held:
        _held.pop().release()


def _begin_child() -> None:
    _release_compiler()
    _one_thread_from_now_on()


def register_forks() -> None:
    """Let every process that this one forks from now on do so."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_hold_compiler, after_in_parent=_release_compiler, after_in_child=_begin_child)

"""Compiled loops over a batch, with threads only where they pay and where they can work.

The threads of a process do not survive `fork`, and what started them waits for them for ever: in a forked process every
loop, and torch, runs on one thread. Numba's own fallback for threads aborts where two Python threads are inside: here
one is, and the others run their loops alone meanwhile. The rows of a loop are independent, so no number changes.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from types import FunctionType
from typing import Any

from numba import config

from dmoe_gym.compiled.njit import njit

# Threads that wait by spinning take the core that others need: on two busy cores a step took two to four times as long.
# OpenMP reads this when numba starts its threads; a value that the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Rounds below which starting threads costs more than it saves.
WORTH_THREADS = 32

# held by the one Python thread whose loop is on several threads
_inside = threading.Lock()
_forked = False


def serial_or_parallel(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a loop over `prange` twice; the result's first argument says how many rounds it will work on.

    The rows must be independent of each other; then the result does not depend on the number of threads.
    """
    # numba's cache on disk knows functions by name and not by options: the second compilation needs its own name
    assert isinstance(function, FunctionType)
    twin = FunctionType(function.__code__, function.__globals__, f"{function.__name__}_parallel")
    twin.__qualname__ = f"{function.__qualname__}_parallel"
    twin.__module__ = function.__module__
    serial = njit(function)
    parallel = njit(twin, parallel=True)

    @wraps(function)
    def run(amount: float, *arguments: Any) -> None:
        threads = config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # numba sets its options at import
        if amount < WORTH_THREADS or threads == 1 or _forked or not _inside.acquire(blocking=False):
            serial(*arguments)
            return
        try:
            parallel(*arguments)
        finally:
            _inside.release()

    return run


def _one_thread_from_now_on() -> None:
    """What a forked process does first."""
    global _forked  # a process is forked or it is not
    _forked = True
    with suppress(OSError):  # where nobody has loaded it
        # numba and torch share this library, torch may be imported only later
        ctypes.CDLL("libgomp.so.1", os.RTLD_NOLOAD | os.RTLD_NOW).omp_set_num_threads(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_one_thread_from_now_on)

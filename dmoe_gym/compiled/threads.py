"""Compiled loops over a batch, with threads only where they pay and where they can work.

In a forked process every loop runs on one thread (`forks`). Numba's own fallback for threads aborts where two Python
threads are inside: here one is, and the others run their loops alone meanwhile. The rows of a loop are independent, so
no number changes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any

from numba import config

from dmoe_gym.compiled.forks import forked
from dmoe_gym.compiled.njit import njit

# Threads that wait by spinning take the core that others need: on two busy cores a step took two to four times as long.
# OpenMP reads this when numba starts its threads; a value that the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Rounds below which starting threads costs more than it saves.
WORTH_THREADS = 32

# held by the one Python thread whose loop is on several threads
_inside = threading.Lock()


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
        if amount < WORTH_THREADS or threads == 1 or forked() or not _inside.acquire(blocking=False):
            serial(*arguments)
            return
        try:
            parallel(*arguments)
        finally:
            _inside.release()

    return run

"""How the suite compiles functions: with Numba, kept on disk by the content of their sources."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numba import config

from dmoe_gym.compiled.cache import ContentCache
from dmoe_gym.compiled.forks import forked

# numba's name for counted references, documented for its extensions only
_COUNTED = "_nrt"


def njit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """`numba.njit` with the suite's cache (see `cache`)."""

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        enabled = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]  # numba sets its options at import
        if enabled and os.path.isfile(function.__code__.co_filename):  # inside an archive there is no source
            dispatcher._cache = ContentCache(function)
        if enabled:
            dispatcher.compile = _whole(dispatcher.compile)
        return dispatcher

    return compiled if function is None else compiled(function)


def _whole(compilation: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A dispatcher's `compile` that Ctrl-C waits for: LLVM's calls back to Python lose the exception and the code."""

    @wraps(compilation)
    def compiled(signature: Any) -> Any:
        with _interrupts_afterwards():
            return compilation(signature)

    return compiled


@contextmanager
def _interrupts_afterwards() -> Iterator[None]:
    """Handle Ctrl-C at the end, or where a function is whole that is compiled on the way; a second one at once."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
    elif isinstance(handler, _Waiting):
        yield
        handler.stop_if_asked()
    else:
        waiting = _Waiting(handler)
        signal.signal(signal.SIGINT, waiting)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, handler)
        waiting.stop_if_asked()


class _Waiting:
    """A handler of Ctrl-C that leaves it to another one later."""

    def __init__(self, handler: Callable[[int, Any], Any]) -> None:
        self._handler = handler
        self._frame: Any = None

    def __call__(self, number: int, frame: Any) -> None:
        if self._frame is not None:
            self._handler(number, frame)
        self._frame = frame
        print("stopping after this compilation; Ctrl-C again stops at once", file=sys.stderr, flush=True)

    def stop_if_asked(self) -> None:
        """Let the other handler decide, if there was a Ctrl-C."""
        frame, self._frame = self._frame, None
        if frame is not None:
            self._handler(signal.SIGINT, frame)


def njit_no_refcount(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """`njit` for functions that take arrays, slice them and call others, but make no array themselves.

    Numba counts a reference for every slice and nearly every array argument, by a call and an atomic addition each.
    In functions this small that was a third of their time and more. What they call is compiled likewise, unless it is
    `njit_allocating`. Divisions by zero are infinite, as in numpy: to check for them keeps the compiler from vector
    code.
    """
    return njit(function, **{"error_model": "numpy", _COUNTED: False, **options})


def njit_allocating(function: Callable[..., Any]) -> Any:
    """`njit` for functions that make arrays and are called from those without counted references."""
    return njit(function, **{_COUNTED: True})


# Threads that wait by spinning take the core that others need: on two busy cores a step took two to four times as long.
# OpenMP reads this when numba starts its threads; a value that the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Rounds below which starting threads costs more than it saves.
WORTH_THREADS = 32

# held by the one Python thread whose loop is on several threads
_inside = threading.Lock()


def serial_or_parallel(function: Callable[..., None] | None = None, *, entries_per_round: int = 0) -> Any:
    """Compile a loop over `prange` twice; the result's first argument says how many rounds it will work on.

    The rows must be independent of each other; then the result does not depend on the number of threads.

    Args:
        entries_per_round: instead of that argument, entries of the first array that are as much work as a round.
    """
    if function is None:
        return partial(serial_or_parallel, entries_per_round=entries_per_round)
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

    @wraps(function)
    def measured(first: np.ndarray, *arguments: Any) -> None:
        run(first.size / entries_per_round, first, *arguments)

    return measured if entries_per_round else run

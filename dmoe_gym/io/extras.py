"""Libraries that not everybody has, and those that print what nobody asked for."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

EXTRAS = {
    **dict.fromkeys(("torch", "stable_baselines3", "sb3_contrib", "tensorboard", "filelock"), "train"),
    **dict.fromkeys(("optuna", "tqdm"), "train"),
    **dict.fromkeys(("matplotlib", "moviepy", "pygame"), "render"),
    **dict.fromkeys(("mo_gymnasium", "pettingzoo"), "views"),
    "transformers": "record",
    "komm": "codes",
    "ray": "ray",
}


@contextmanager
def needed_for(what: str, extra: str | None = None) -> Iterator[None]:
    """Around imports: a library that is missing is one line that says what brings it.

    Args:
        what: needs it, the subject of the sentence.
        extra: what brings all that is needed there, where that is more than the library.

    Raises:
        ImportError: so it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in EXTRAS:
            raise
        raise ImportError(f"{what} needs {name}: pip install 'dmoe_gym[{extra or EXTRAS[name]}]'", name=name) from None


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Around what transformers makes of files by others: whatever it raises is one line.

    Args:
        what: cannot be read, the subject of the sentence.

    Raises:
        ValueError: with the first line of the reason.
    """
    try:
        yield
    except Exception as error:  # of its own, of safetensors, tokenizers and torch: dozens of types, many lines
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{what} cannot be read: {reason[0]}") from None


@contextmanager
def no_output() -> Iterator[None]:
    """Nothing that compiled libraries print on standard output in the meantime is seen.

    HiGHS prints lines of its own debugging, whatever its options say.
    """
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:  # there is no standard output
        yield
        return
    flush = ctypes.CDLL(None).fflush
    flush(None)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
        yield
    finally:
        flush(None)
        os.dup2(kept, 1)
        os.close(kept)

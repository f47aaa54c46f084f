"""What every test needs before the library is imported: a cache of compiled code that cannot be stale."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from hypothesis import settings

REPOSITORY = Path(__file__).parent.parent


def _fresh_numba_cache() -> None:
    """Let Numba cache in a folder named after the sources of all compiled code.

    Numba recompiles a cached function only when its own file changes, not when a file it calls into does: with the
    usual cache an edited kernel would be tested in its old form wherever another file inlined it. A cache folder that
    is already named by the environment is respected.
    """
    digest = hashlib.sha256()
    for source in sorted((REPOSITORY / "dmoe_gym").rglob("*.py")):
        text = source.read_bytes()
        if b"numba" in text or b"serial_or_parallel" in text:
            digest.update(str(source.relative_to(REPOSITORY)).encode() + b"\0" + text + b"\0")
    parent = REPOSITORY / ".pytest_cache" / "numba"
    folder = parent / digest.hexdigest()[:16]
    for stale in parent.glob("*"):
        if stale != folder:
            shutil.rmtree(stale, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)


if "NUMBA_CACHE_DIR" not in os.environ:
    _fresh_numba_cache()

# Compiling takes longer than Hypothesis's deadline for one example. The same examples in every run by default;
# `--hypothesis-profile=explore` looks for new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("repeatable")

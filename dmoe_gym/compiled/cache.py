"""Where compiled code is kept between processes: under a name that covers every source it was compiled from.

Numba's own cache looks at the file of a function alone. What that function calls is compiled into it, so an edited or
updated callee would go on giving old numbers. Here a module's folder is named after the contents of the module and of
the modules of the suite that it uses, as far as they can be compiled (`sources`); checkouts and versions share one
cache without getting in each other's way. Whatever goes wrong with the files, the function is compiled anew.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import numba
import numpy as np
import platformdirs
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.sigutils import normalize_signature
from numba.core.types import BaseTuple

from dmoe_gym.compiled.sources import Asked, Source

# packages whose modules can be compiled into each other
_OURS = ("dmoe_gym", "agents", "baselines", "experiments")
_UNUSED_FOR_S = 30 * 86400.0
_STARTED = time.time()
# Options of numba's that change no compiled code.
_WITHOUT_EFFECT = ("NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY")


def cache_folder() -> Path:
    """`NUMBA_CACHE_DIR` if it is set, else a folder of the user's cache."""
    named = numba.config.CACHE_DIR  # type: ignore[attr-defined]  # numba sets its options at import
    return Path(named) if named else platformdirs.user_cache_path("dmoe_gym", appauthor=False) / "compiled"


@cache
def _writable_folder() -> Path:
    """The cache folder, or one of this process alone where that cannot be written."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        own = Path(tempfile.mkdtemp(prefix="dmoe_gym-"))
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        warnings.warn(
            f"compiled code cannot be kept in {folder} ({error.strerror}) and is compiled again by every process; "
            "NUMBA_CACHE_DIR may name a folder that can be written",
            stacklevel=2,
        )
        return own
    return folder


@cache
def _package_folder(package: str) -> Path | None:
    """Where a package of the suite lies."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    folders = None if spec is None else spec.submodule_search_locations
    return Path(folders[0]) if folders else None


@cache
def _module_file(name: str) -> Path | None:
    """The source of a module of the suite, found without importing anything; None if there is no such module."""
    package, *rest = name.split(".")
    folder = _package_folder(package)
    if folder is None:
        return None
    path = folder.joinpath(*rest)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def _source(file: Path, whole: bool) -> Source:
    """A file taken apart; modules share most of what they use."""
    return Source.of(file.read_bytes(), whole)


@cache
def _stamp(module: str, file: str) -> str:
    """A digest of what can be compiled of a module and of all it uses from the suite, and of the compiler's options."""
    files, parts = {module: Path(file)}, {}
    wanted: dict[str, Asked] = {module: set()}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        asked = None if name.startswith("dmoe_gym.compiled.") else wanted[name]
        parts[name], requests = _source(files[name], asked is None).compiled_part(asked)
        for other, names in requests:
            found = _module_file(other) if other.partition(".")[0] in _OURS else None
            if found is None:
                continue
            known = wanted.get(other, set())
            more = None if names is None or known is None else known | names
            if other not in wanted or more != known:
                files[other], wanted[other] = found, more
                waiting.append(other)
    options = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))
    options = [item for item in options if item[0] not in _WITHOUT_EFFECT]
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__} {sys.version} {options}".encode())
    if any(path.stat().st_mtime > _STARTED for path in files.values()):
        # this process may hold a module as it was before: what it compiles is its own
        digest.update(f"{_STARTED} {os.getpid()}".encode())
    for name in sorted(parts):
        digest.update(f"{name}\0{parts[name]}\0".encode())
    return digest.hexdigest()[:20]


def _code_digest(code: CodeType) -> str:
    """Of a function's own code: several of one module can have the same name, and lines move."""
    constants = [_code_digest(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts]
    return hashlib.sha256(repr((code.co_code, constants, code.co_names)).encode()).hexdigest()[:12]


class _ContentLocator(_CacheLocator):
    """Numba's interface to the above."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        self._code = _code_digest(function.__code__)
        self._py_file = file  # by this name numba's warnings know it
        self._stamp = _stamp(function.__module__, file)
        self._folder = _writable_folder() / f"{function.__module__}-{self._stamp}"

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> _ContentLocator | None:
        return cls(function, file) if os.path.isfile(file) else None

    def ensure_cache_path(self) -> None:
        if not self._folder.is_dir():
            with suppress(OSError):  # then it cannot be written either, which is said there
                self._folder.mkdir(parents=True, exist_ok=True)
            _forget_unused(self._folder)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return self._stamp

    def get_disambiguator(self) -> str:
        return self._code


def _forget_unused(folder: Path) -> None:
    """Remove what other contents of the same module left, where it has not been used for a month."""
    module = folder.name.rpartition("-")[0]
    for other in folder.parent.glob(f"{module}-*"):
        try:
            if time.time() - max(file.stat().st_atime for file in other.iterdir()) > _UNUSED_FOR_S:
                shutil.rmtree(other, ignore_errors=True)
        except (OSError, ValueError):
            continue  # another process is at it, or it is empty


@cache
def _announce() -> None:
    """Say once that what takes so long is the compiler."""
    if multiprocessing.parent_process() is None:
        print(
            "dmoe_gym: compiling for this machine, once: about 20 s for an environment, a minute with its schedulers "
            f"(kept in {_writable_folder()})",
            file=sys.stderr,
            flush=True,
        )


def _fields(kinds: Any) -> tuple[Any, ...]:
    """Names and order of the fields of named tuples among types of arguments."""
    tuples = [kind for kind in kinds if isinstance(kind, BaseTuple)]
    return tuple((getattr(kind, "fields", ()), _fields(kind)) for kind in tuples)


class _ContentCacheImpl(CompileResultCacheImpl):
    _locator_classes = [_ContentLocator]  # noqa: RUF012 (as Numba declares it)


class ContentCache(FunctionCache):
    """A function's compiled code on disk; a damaged file is compiled anew."""

    _impl_class = _ContentCacheImpl

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        # the classes of named tuples may be defined where no compiled code looks
        return (*super()._index_key(sig, codegen), _fields(normalize_signature(sig)[0]))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        found = None
        try:
            found = super().load_overload(sig, target_context)
            # two processes that wrote at once can leave one's index and the other's code
            damaged = found is not None and tuple(found.signature.args) != normalize_signature(sig)[0]
        except Exception:  # whatever reading damaged bytes raises
            damaged = True
        if damaged:
            found = None
            with suppress(OSError):
                self.flush()
        if found is None:
            _announce()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn_not_kept(error.strerror or type(error).__name__)


@cache
def _warn_not_kept(reason: str) -> None:
    warnings.warn(f"compiled code cannot be kept in {_writable_folder()} ({reason})", stacklevel=2)

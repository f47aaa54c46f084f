"""npz archives of others: every array is read only after its dtype, its shape and its size were looked at."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

_HEADERS: dict[Any, Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class NpzError(ValueError):
    """What was opened is no npz archive of the arrays that are asked for, or is damaged."""


class NpzFile:
    """An open npz archive of exactly the arrays that are named.

    Nothing in it can run code, and no more memory is taken than `read` allows, whatever the archive says of itself.

    Raises:
        NpzError: for anything else than such an archive.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        with path.open("rb") as file:
            if file.read(4) != b"PK\x03\x04":  # the beginning of a zip archive
                raise NpzError("is no npz archive")
        self._archive = _foreign(zipfile.ZipFile, path)
        held = sorted(info.filename.removesuffix(".npy") for info in self._archive.infolist())
        if held != sorted(names):
            self._archive.close()
            raise NpzError(f"holds {', '.join(held[:9]) or 'nothing'}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def kind(self, name: str) -> tuple[np.dtype, tuple[int, ...]]:
        """dtype and shape of an array, of which nothing is read."""
        with self._open(name) as member:
            shape, _, dtype = _foreign(_kind, member)
        return dtype, shape

    def read(self, name: str, most: int) -> np.ndarray:
        """An array of at most `most` bytes.

        Raises:
            NpzError: if it is larger, or not of the size that its dtype and shape say, or damaged.
        """
        said = self._archive.getinfo(f"{name}.npy").file_size
        with self._open(name) as member:
            shape, fortran, dtype = _foreign(_kind, member)
            size = math.prod(shape) * dtype.itemsize
            if size > most or said - member.tell() != size:
                raise NpzError(
                    f"{name}: takes {said - member.tell():,} bytes, valid are {size:,} for {dtype} {shape}, "
                    f"and at most {most:,}"
                )
            # one byte more, so that the end is reached and the checksum compared
            content = _foreign(member.read, size + 1)
        if len(content) != size:
            raise NpzError(f"{name}: has {len(content):,} bytes, valid are {size:,}")
        array = np.frombuffer(content, dtype)
        return array.reshape(shape, order="F" if fortran else "C")

    def _open(self, name: str) -> IO[bytes]:
        return _foreign(self._archive.open, f"{name}.npy")


def _kind(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(member)](member)
    if dtype.hasobject:
        raise NpzError("Object arrays cannot be loaded: they could run code")
    return shape, fortran, dtype


def _foreign(read: Any, *arguments: Any) -> Any:
    """What a library makes of foreign bytes, which may make it fail anywhere."""
    try:
        return read(*arguments)
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise NpzError(f"is damaged or foreign ({reason})") from None

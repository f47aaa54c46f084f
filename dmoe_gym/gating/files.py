"""Result files that are not silently replaced."""

from __future__ import annotations

from pathlib import Path

from dmoe_gym import files


def write_whole(path: Path, content: bytes, overwrite: bool = False) -> None:
    """Write a file whole or not at all.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"path = {str(path)!r}: exists already; ask for overwriting to replace it")
    files.write_whole(path, content)

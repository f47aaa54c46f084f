"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes, overwrite: bool = False) -> None:
    """Write beside the target, then rename, so that a reader never sees half a file.

    Raises:
        FileExistsError: if `path` exists and `overwrite` is False.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"path = {str(path)!r}: exists already; ask for overwriting to replace it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as partial:
        try:
            partial.write(content)
            partial.close()
            os.chmod(partial.name, 0o644)  # temporary files are private, results are not
            os.replace(partial.name, path)
        except BaseException:
            os.unlink(partial.name)
            raise

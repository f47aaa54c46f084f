"""Writing files whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class NoFileError(FileNotFoundError, ValueError):
    """There is no file where a field says that there is one."""


def regular_file(path: Path | str, name: str, valid: str = "a file's path") -> Path:
    """The path of a file that can be read; `~` is the home folder.

    Args:
        path: where it should be.
        name: the field that said so.
        valid: what would be valid there, in words.

    Raises:
        NoFileError: if there is none.
        ValueError: in one line, for a folder, a device, a pipe, or a path that no file can have.
    """
    shown = repr(str(path)[:200])
    try:
        found = Path(path).expanduser()
        mode = found.stat().st_mode
    except FileNotFoundError:
        raise NoFileError(f"{name} = {shown}: no such file; valid is {valid}") from None
    except (OSError, RuntimeError, ValueError) as error:  # too long, no such user, a null character
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{name} = {shown}: no path of a file ({reason}); valid is {valid}") from None
    if not stat.S_ISREG(mode):
        raise ValueError(f"{name} = {shown}: is no file but a folder, a device or a pipe; valid is {valid}")
    if not os.access(found, os.R_OK):
        raise ValueError(f"{name} = {shown}: may not be read; valid is {valid}")
    return found


def write_whole(path: Path | str, content: str | bytes) -> Path:
    """Write a file through a temporary one in the same folder and a rename; missing folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        # mkstemp makes files private; give them the permissions that open() would
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def read_json(content: str | bytes, what: str) -> dict[str, Any]:
    """A mapping from JSON of others.

    Raises:
        ValueError: naming `what`, if it is no JSON, nested too deeply, or no mapping.
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError(f"{what}: is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{what}: is no JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{what}: holds {type(value).__name__}, valid is a mapping of fields")
    return value


def write_json(path: Path | str, value: Any) -> Path:
    """Write a value as indented JSON."""
    return write_whole(path, json.dumps(value, indent=2, default=str) + "\n")


def replace_section(path: Path | str, name: str, content: str) -> Path:
    """Replace what stands between `<!-- name begins -->` and `<!-- name ends -->` in a Markdown page.

    Raises:
        ValueError: if the page has no such section.
        OSError: if it cannot be read.
    """
    before, _, after = _around_section(Path(path), name)
    return write_whole(path, f"{before}\n\n{content.strip()}\n\n{after}")


def read_section(path: Path | str, name: str) -> str:
    """What stands between `<!-- name begins -->` and `<!-- name ends -->` in a Markdown page.

    Raises:
        ValueError, OSError: as `replace_section`.
    """
    return _around_section(Path(path), name)[1].strip()


def _around_section(path: Path, name: str) -> tuple[str, str, str]:
    """What stands before a section, its first mark included, in it, and after it, from its last mark on."""
    begins, ends = f"<!-- {name} begins -->", f"<!-- {name} ends -->"
    before, found, rest = path.read_text().partition(begins)
    inside, closed, after = rest.partition(ends)
    if not found or not closed:
        raise ValueError(f"{path}: has no section from {begins} to {ends}")
    return before + begins, inside, ends + after


def write_csv(path: Path | str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows under the union of their keys, in order of first appearance."""
    return write_whole(path, csv_text(rows))


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """The content of a CSV file of rows."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_csv(path: Path | str) -> list[dict[str, Any]]:
    """Rows of a CSV file, numbers as numbers; empty cells are left out.

    Raises:
        ValueError: naming the file, if it is damaged.
    """
    try:
        with open(path, newline="") as file:
            rows = [{key: _number(cell) for key, cell in row.items() if cell != ""} for row in csv.DictReader(file)]
    except (csv.Error, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: is not a readable CSV file ({error})") from None
    if any(None in row for row in rows):
        raise ValueError(f"{path}: a line has more cells than the header")
    return rows


def _number(cell: str) -> Any:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell

"""Writing files whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import stat
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save


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


# The most that a file of text by others may take, in memory it is a few times that.
MOST_TEXT_BYTES = 2**28


def read_bytes(path: Path | str, name: str, most: int = MOST_TEXT_BYTES) -> bytes:
    """The content of a file by others.

    Raises:
        NoFileError, ValueError: as `regular_file`, and for a file of more than `most` bytes, of which nothing is read.
    """
    found = regular_file(path, name)
    size = found.stat().st_size
    if size > most:
        raise ValueError(f"{name} = {str(path)!r}: takes {size:,} bytes, valid are at most {most:,}")
    return found.read_bytes()


def read_text(path: Path | str, name: str) -> str:
    """The content of a file by others in UTF-8.

    Raises:
        NoFileError, ValueError: as `read_bytes`, and for bytes that are no text.
    """
    try:
        return read_bytes(path, name).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} = {str(path)!r}: is no text ({error})") from None


def state_of(file: Path) -> tuple[int, int]:
    """When a file was written and how many bytes it takes: what is kept of it in memory holds while both stay."""
    status = file.stat()
    return status.st_mtime_ns, status.st_size


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
        ValueError: naming `what`, if it is no JSON, nested too deeply, or no mapping, or if a key stands there twice.
    """
    try:
        value = json.loads(content, object_pairs_hook=_keys_once)
    except RecursionError:
        raise ValueError(f"{what}: is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{what}: is no JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{what}: holds {type(value).__name__}, valid is a mapping of fields")
    return value


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)[:60]} stands there twice")
    return found


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


def read_csv(path: Path | str, text: Collection[str] = ()) -> list[dict[str, Any]]:
    """Rows of a CSV file, numbers as numbers; empty cells are left out.

    Args:
        path: of the file.
        text: columns whose cells stay as they are.

    Raises:
        ValueError: naming the file, if there is none, it is too large or damaged, or a column stands there twice.
    """
    content = read_bytes(path, "file")
    try:
        table = csv.DictReader(io.StringIO(content.decode(), newline=""))
        lines = list(table)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is not a readable CSV file ({error})") from None
    columns = table.fieldnames or []
    for column in columns:
        if columns.count(column) > 1:
            raise ValueError(f"{path}: the column {column!r:.60} stands there twice")
    if any(None in line or None in line.values() for line in lines):
        raise ValueError(f"{path}: a line has more or fewer cells than the header")
    return [{key: cell if key in text else _number(cell) for key, cell in line.items() if cell != ""} for line in lines]


def _number(cell: str) -> Any:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


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


# The most that a model file may take; tensors lie in it as they are, so reading takes no more.
MOST_BYTES = 2**31
# What safetensors calls the types that NumPy has, too.
TYPES = ("F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")


def model_bytes(kind: str, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of a model file, the same bytes for the same model.

    Args:
        kind: what the file holds, and the version of its layout.
        config: what the model is rebuilt from; JSON values.
        arrays: its parameters.
    """
    # one entry: safetensors writes several in an order that differs from call to call
    return tensor_bytes({"model": json.dumps({"format": kind, "config": dict(config)}, sort_keys=True)}, arrays)


def tensor_bytes(header: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of a safetensors file, which `read_tensors` reads."""
    return save({name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata=dict(header))


def read_tensors(path: Path | str, name: str = "path") -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """What stands in the header of a safetensors file beside its tensors, and the tensors: the one reader of all.

    Args:
        path: of the file.
        name: the field that named it.

    Raises:
        NoFileError: if there is no such file.
        ValueError: one line, for what is no file, a damaged or foreign one, one of more than `MOST_BYTES`, a name that
            stands there twice, or tensors of types that NumPy does not have (bfloat16, float8) or with numbers that are
            not finite.
    """
    path = regular_file(path, name, "a safetensors file's path")
    where, size = f"{name} = {str(path)!r}", path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{where}: takes {size:,} bytes, valid are at most {MOST_BYTES:,}")
    arrays: dict[str, np.ndarray] = {}
    try:
        with safe_open(path, framework="np") as stored:
            for key in stored.keys():  # noqa: SIM118  (not a dict)
                kind = stored.get_slice(key).get_dtype()
                if kind not in TYPES:
                    raise ValueError(f"{where}: {key} is of type {kind}, valid are {', '.join(TYPES)}")
                arrays[key] = stored.get_tensor(key)
            metadata = dict(stored.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{where}: not a safetensors file, or damaged ({error})") from None
    with path.open("rb") as file:  # safetensors, which has read it, takes the last of two
        read_json(file.read(int.from_bytes(file.read(8), "little")), f"{where}: its header")
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{where}: {key} holds numbers that are not finite")
    return metadata, arrays


def read_model_file(path: Path | str, kind: str, name: str = "path") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Configuration and parameters of a model file of this kind.

    Raises:
        ValueError: as `read_tensors`, and for a file of another kind.
    """
    metadata, arrays = read_tensors(path, name)
    where = f"{name} = {str(path)!r}"
    header = read_json(metadata["model"], f"{where}: its header") if "model" in metadata else {}
    if header.get("format") != kind:
        raise ValueError(f"{where}: format is {header.get('format')!r:.99}, valid is {kind!r}")
    if not isinstance(header.get("config"), dict):
        raise ValueError(f"{where}: its configuration is {header.get('config')!r:.99}, valid is a mapping")
    return header["config"], arrays

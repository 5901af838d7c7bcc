"""How files are written: aside, flushed to the disk and renamed, so no reader and no crash sees half of one.

Numbers and texts of CSV files are here too, since every table shows them alike.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import math
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .errors import OutputError, StoppedError, reason
from .names import printable

_ASIDE = re.compile(r"\.[0-9a-f]{16}\.sig\.part")
_ASIDE_BEFORE = re.compile(r"\.?.+\.(npy|png|csv|json|pt|safetensors)\.part")
"""What versions before files.jsonl called a file that was being written."""
_FORMULA = ("=", "+", "-", "@")
_LARGEST = 2 << 30
"""Bytes of an array that is read."""
_MARK = b'<meta name="generator" content="sig">'
_MAGIC = b"\x93NUMPY"
Stamp = tuple[int, str]
"""Size in bytes and digest of a file."""


def figure(value: float | None) -> str:
    """A number as the CSV files show it: six significant digits, empty for None, NaN and infinity.

    >>> figure(0.123456789), figure(None)
    ('0.123457', '')
    """
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"


def safe_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula and no reader for two rows; `cell_text` gives it back.

    A leading = + - @ gets an apostrophe before it, and so does a leading apostrophe, so two texts stay two. Control
    characters are written out, see `sigcli.names`; a line break stays, in quotes.

    >>> safe_cell("=SUM(A1)"), safe_cell("'=SUM(A1)"), safe_cell("goldfish")
    ("'=SUM(A1)", "''=SUM(A1)", 'goldfish')
    """
    if not (text.isascii() and text.isprintable()):
        text = "\n".join(map(printable, text.split("\n")))
    return f"'{text}" if text.startswith((*_FORMULA, "'")) else text


def cell_text(cell: str) -> str:
    """The text that `safe_cell` wrote; a cell of an older version, which left a leading apostrophe alone, as it is.

    >>> cell_text("'=SUM(A1)"), cell_text("''=SUM(A1)"), cell_text("'90s.png")
    ('=SUM(A1)', "'=SUM(A1)", "'90s.png")
    """
    return cell[1:] if cell.startswith("'") and cell[1:].startswith((*_FORMULA, "'")) else cell


def aside_of(path: Path) -> Path:
    """Where a file is written before it is renamed: beside its place, under a name that only `sig` gives."""
    return path.with_name(f".{hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()}.sig.part")


def write_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name beside its place, flush it to the disk and rename it.

    Nothing is left where writing fails. A process that is killed leaves a file that `remove_leftovers` knows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = aside_of(path)
    try:
        write(aside)
        flush(aside)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def flush(path: Path) -> None:
    """Bring a file's content to the disk, so a rename never outlives it."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def remove_leftovers(folders: Iterable[Path | str], *, before: bool = False) -> None:
    """Remove what a killed process had begun to write in some folders; not in their subfolders.

    Args:
        folders: those that need not exist are passed over.
        before: also what earlier versions left, whose names are less distinct: for folders that hold results only.
    """
    for folder in folders:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            if _ASIDE.fullmatch(name) or (before and _ASIDE_BEFORE.fullmatch(name)):
                Path(folder, name).unlink(missing_ok=True)


def is_aside(name: str) -> bool:
    """Whether a file of that name is one that `write_aside` has not finished."""
    return _ASIDE.fullmatch(name) is not None


def read_bytes(path: Path) -> bytes:
    """The content of an ordinary file; raises OSError for anything else, since reading a pipe in a folder may never end."""
    if not path.is_file() and os.path.lexists(path):
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    return path.read_bytes()


def is_page(path: Path) -> bool:
    """Whether a file is a page that `sig` wrote, by the mark at its beginning."""
    try:
        with path.open("rb") as stream:
            return _MARK in stream.read(4000)
    except OSError:
        return False


def stamp(path: Path) -> Stamp:
    """Size and digest of a file; raises OSError where it cannot be read."""
    return stamp_of(read_bytes(path))


def stamp_of(content: bytes) -> Stamp:
    """Size and digest of a file of this content."""
    return len(content), hashlib.blake2b(content, digest_size=16).hexdigest()


def holds(path: Path, known: Sequence[Any]) -> bool:
    """Whether a file is there, of the size and digest that it was written with."""
    try:
        return path.stat().st_size == known[0] and stamp(path) == tuple(known)
    except OSError:
        return False


def filled(path: Path) -> bool:
    """Whether a file is there and was not emptied by a crash, as a file may be that was not flushed to the disk."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def save_array(path: Path, values: np.ndarray) -> None:
    """Save a float32 `.npy`."""

    def write(aside: Path) -> None:
        with aside.open("wb") as stream:
            np.save(stream, np.ascontiguousarray(values, dtype=np.float32))

    write_aside(path, write)


def array_shape(path: str | Path) -> tuple[int, ...]:
    """The shape of the array of a `.npy` file; raises as `load_array` does."""
    return _mapped(path).shape


def load_array(path: str | Path) -> np.ndarray:
    """The array of a `.npy` file of anyone's.

    Nothing is allocated before the file is known to hold what its header promises, and nothing is unpickled.

    Raises:
        OSError: it cannot be read, or is no ordinary file.
        ValueError: it is damaged, an archive, of Python objects, or larger than 2 GiB.
    """
    found = _mapped(path)
    if found.nbytes > _LARGEST:
        raise ValueError(f"it holds {found.nbytes / 1e9:.1f} GB, and at most {_LARGEST / 1e9:.1f} GB are read")
    try:
        return np.array(found)
    except MemoryError as error:
        raise ValueError("it needs more memory than there is") from error


def _mapped(path: str | Path) -> np.ndarray:
    """An array of which nothing is read yet but its header."""
    if not Path(path).is_file():
        raise OSError("no such file" if not os.path.lexists(path) else "not an ordinary file")
    with Path(path).open("rb") as stream:
        first = stream.read(len(_MAGIC))
    if first[:2] == b"PK":
        raise ValueError("it is an archive of arrays (.npz), and not one array")
    if first != _MAGIC:
        raise ValueError("it is empty" if not first else "it is no array of numpy's, or a pickle")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python would rather see written otherwise
            return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        raise
    except Exception as error:  # numpy reads the header with Python's parser, which raises all sorts of exceptions
        told = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"its header is damaged: {told[:120]}") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the system into an OutputError that names the folder."""
    try:
        yield
    except (OSError, ValueError) as error:
        text = reason(error) if isinstance(error, OSError) else str(error)
        raise OutputError("the output folder cannot be written", given=path, hint=f"{text}.") from error


@contextmanager
def going_on(path: Path) -> Iterator[None]:
    """What cannot be written in the middle of a run stops it, with what was finished in its place."""
    try:
        yield
    except OSError as error:
        raise stopped(path, error) from error


def stopped(path: Path, error: OSError) -> StoppedError:
    """The error for a file or folder of a run that takes nothing more."""
    gone = isinstance(error, FileNotFoundError) and not path.exists()
    kept = "" if gone else " Finished work is kept: repeat the command with --resume to continue."
    file = str(error.filename or "")
    elsewhere = (
        f": {file}" if file and not file.startswith(str(path)) else ""
    )  # of the package, which an upgrade replaced
    return StoppedError(
        "the run folder can no longer be written", given=path, hint=f"{reason(error)}{elsewhere}.{kept}"
    )


def append_whole(path: Path, text: str) -> None:
    """Add text to a file, all of it or nothing: half a row would spoil the next one."""
    left = memoryview(text.encode())
    with path.open("ab", buffering=0) as stream:
        before = stream.tell()
        try:
            while left:
                left = left[stream.write(left) :]
        except OSError:
            os.truncate(path, before)
            raise


def write_text(path: Path, text: str) -> None:
    """Write a text file as it is, line ends included."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)


def save_text(path: Path, text: str) -> None:
    """Write a text file aside and rename it."""
    with going_on(path):
        write_aside(path, lambda aside: write_text(aside, text))


def save_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV whose columns are the keys of its first row; numbers as `figure` shows them, texts made safe."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    save_text(path, stream.getvalue())


def append_row(path: Path, row: Mapping[str, Any], *, first: bool) -> None:
    """Add one row to a CSV in one write, after a header where it is the first; as `save_table`."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(row), lineterminator="\n")
    if first:
        writer.writeheader()
    writer.writerow({name: _cell(value) for name, value in row.items()})
    with going_on(path):
        if first:
            path.unlink(missing_ok=True)
        append_whole(path, stream.getvalue())


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value if re.fullmatch(r"-?\d+(/\d+)?", value) else safe_cell(value)
    if isinstance(value, (float, np.floating)):
        return figure(float(value))
    return "" if value is None else str(value)


def file_digest(name: str | Path) -> str:
    """A digest of a file's content; a text that names no file as it is."""
    path = Path(name)
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest() if path.is_file() else str(name)

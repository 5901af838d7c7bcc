"""The run folder: manifest, results, arrays and pictures; complete at any moment, so that a run can be resumed.

Every file is written aside and renamed. A row of `results.csv` is appended in one write once the files it speaks of stand;
when the run ends, the rows are put into the order of the inputs, so that a resumed run leaves the same file as an
undisturbed one.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import OutputError, StoppedError
from .names import printable

COLUMNS = (
    "image",
    "method",
    "target",
    "label",
    "score",
    "output",
    "seconds",
    "gradient_evaluations",
    "completeness_gap",
    "relative_gap",
    "standard_error",
    "relative_standard_error",
    "status",
    "error",
    "content",
)
_TEXTS = ("image", "label", "error")
_FORMULA = ("=", "+", "-", "@")
RESULTS, MANIFEST = "results.csv", "manifest.json"
Key = tuple[str, str, str]


def figure(value: float | None) -> str:
    """A number as the CSV files show it: six significant digits, empty for None, NaN and infinity.

    >>> figure(0.123456789), figure(None)
    ('0.123457', '')
    """
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"


def safe_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula and no reader for two rows; `cell_text` gives it back.

    A leading = + - @ gets an apostrophe before it, and so does a leading apostrophe, so that two texts stay two. Control
    characters are written out, see `sigcli.names`; a line break stays, in quotes.

    >>> safe_cell("=SUM(A1)"), safe_cell("'=SUM(A1)"), safe_cell("goldfish")
    ("'=SUM(A1)", "''=SUM(A1)", 'goldfish')
    """
    text = "\n".join(map(printable, text.split("\n")))
    return f"'{text}" if text.startswith((*_FORMULA, "'")) else text


def cell_text(cell: str) -> str:
    """The text that `safe_cell` wrote; a cell of an older version, which left a leading apostrophe alone, as it is.

    >>> cell_text("'=SUM(A1)"), cell_text("''=SUM(A1)"), cell_text("'90s.png")
    ('=SUM(A1)', "'=SUM(A1)", "'90s.png")
    """
    return cell[1:] if cell.startswith("'") and cell[1:].startswith((*_FORMULA, "'")) else cell


def write_aside(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file under a temporary name beside its place and rename it, so that no reader sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.part")
    try:
        write(aside)
        os.replace(aside, path)
    except BaseException:  # a full disk leaves half of it
        aside.unlink(missing_ok=True)
        raise


def save_array(path: Path, values: np.ndarray) -> None:
    """Save a float32 `.npy`."""

    def write(aside: Path) -> None:
        with aside.open("wb") as stream:
            np.save(stream, np.ascontiguousarray(values, dtype=np.float32))

    write_aside(path, write)


def _csv_text(rows: Iterable[Mapping[str, str]], header: bool) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list[str](COLUMNS), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


@dataclass(eq=False)
class RunFolder:
    """One run on disk.

    Args:
        path: the folder.
        rows: finished rows by (image, method, target).
    """

    path: Path
    rows: dict[Key, dict[str, str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, row: Mapping[str, Any]) -> None:
        """Append one row of `results.csv`; safe from several threads."""
        cells = {name: str(row.get(name, "")) for name in COLUMNS}
        cells |= {name: safe_cell(cells[name]) for name in _TEXTS}
        with self._lock:
            self.check()
            append_whole(self.path / RESULTS, _csv_text([cells], header=False))
            self.rows[row_key(cells)] = cells

    def check(self) -> None:
        """Raise FileNotFoundError where the folder was taken away since the run began: none is made anew in its place."""
        if not (self.path / MANIFEST).exists():
            raise FileNotFoundError(errno.ENOENT, "it was removed or renamed", str(self.path))

    def finished(self, image: str, method: str, target: str | None = None) -> list[dict[str, str]]:
        """Rows of an image and method that are done, of one target or of all."""
        with self._lock:
            rows = list(self.rows.values())
        return [
            row
            for row in rows
            if row["status"] == "ok"
            and (row["image"], row["method"]) == (safe_cell(image), method)
            and target in (None, row["target"])
        ]

    def settle(self, order: Callable[[dict[str, str]], Any]) -> None:
        """Rewrite `results.csv` with its rows in order; raises OutputError where it cannot be."""
        with self._lock, going_on(self.path):
            self.check()
            text = _csv_text(sorted(self.rows.values(), key=order), header=True)
            write_aside(self.path / RESULTS, lambda aside: _write_text(aside, text))


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


def row_key(row: Mapping[str, str]) -> Key:
    """What makes a row one item: image, method, target."""
    return row["image"], row["method"], row["target"]


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a run folder, or None where there is none; raises OutputError where it cannot be read."""
    file = path / MANIFEST
    if not file.exists():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError("the manifest of the run folder cannot be read", given=file, hint=str(error)) from error


def open_run(path: Path, manifest: Mapping[str, Any], *, resume: bool, overwrite: bool = False) -> RunFolder:
    """Make the folder of a run, or open it to go on with it.

    Args:
        path: the folder, made where it does not exist.
        manifest: what will be written; its "spec" must equal that of the run being resumed.
        resume: take over the finished rows.
        overwrite: replace the results of another run.

    Raises:
        OutputError: the folder cannot be written, holds another run, or its run does not fit.
    """
    earlier = claim_folder(path, manifest, resume=resume, overwrite=overwrite)
    run = RunFolder(path, _read_rows(path) if resume and earlier else {})
    text = _csv_text(run.rows.values(), header=True)
    with _writing(path):
        write_aside(path / RESULTS, lambda aside: _write_text(aside, text))
    return run


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError("the output folder cannot be written", given=path, hint=f"{error.strerror}.") from error


@contextmanager
def going_on(path: Path) -> Iterator[None]:
    """What cannot be written in the middle of a run stops it, with what was finished in its place."""
    try:
        yield
    except OSError as error:
        raise stopped(path, error) from error


def stopped(path: Path, error: OSError) -> StoppedError:
    """The error for a file or folder of a run that takes nothing more."""
    gone = isinstance(error, FileNotFoundError)
    kept = "" if gone else " Finished work is kept: go on later with the same command and --resume."
    return StoppedError("the run folder can no longer be written", given=path, hint=f"{error.strerror or error}.{kept}")


def claim_folder(path: Path, manifest: Mapping[str, Any], *, resume: bool = False, overwrite: bool = False) -> bool:
    """Make a folder for a run and write its manifest; says whether a run was there already. As `open_run`, without rows."""
    earlier = read_manifest(path) if path.is_dir() else None
    differing = [] if earlier is None else _differences(earlier, manifest, images=not resume)
    if earlier is not None and resume and differing:
        raise OutputError(
            f"{path} holds a run of another kind ({', '.join(differing)} differ)",
            hint="Repeat the command of that run with --resume, or name another --out.",
        )
    if earlier is not None and differing and not overwrite:
        raise OutputError(
            f"{path} already holds another run ({', '.join(differing)} differ)",
            hint="Name another --out, or add --overwrite to replace it.",
        )
    with _writing(path):
        path.mkdir(parents=True, exist_ok=True)
        write_aside(path / MANIFEST, lambda aside: _write_text(aside, json.dumps(manifest, indent=2) + "\n"))
    return earlier is not None


def refuse_strangers(folder: Path, names: Iterable[str], *, overwrite: bool) -> None:
    """Raise OutputError where files that are about to be written stand in a folder that no run of ours has claimed."""
    if overwrite or (folder / MANIFEST).exists():
        return
    strange = next((name for name in names if (folder / name).exists()), None)
    if strange is not None:
        raise OutputError(
            f"{folder} holds a {strange} that is not of a run", hint="Name another --out, or add --overwrite."
        )


def save_text(path: Path, text: str) -> None:
    """Write a text file aside and rename it."""
    with going_on(path):
        write_aside(path, lambda aside: _write_text(aside, text))


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


def _differences(earlier: Mapping[str, Any], manifest: Mapping[str, Any], *, images: bool) -> list[str]:
    """Names of what differs between two runs: entries of their specs, and where it matters their images."""
    new = json.loads(json.dumps(manifest))
    one, other = earlier.get("spec", {}), new["spec"]
    names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    return names + (["images"] if images and earlier.get("images") != new.get("images") else [])


def _read_rows(path: Path) -> dict[Key, dict[str, str]]:
    """Rows of an interrupted run that are whole and done; a torn last line is left out."""
    try:
        text = (path / RESULTS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    whole = text[: text.rfind("\n") + 1]
    rows = [row for row in csv.DictReader(io.StringIO(whole)) if None not in row and None not in row.values()]
    return {row_key(row): row for row in rows if row["status"] == "ok"}


def free_folder(stem: str, manifest: Mapping[str, Any], *, resume: bool) -> Path:
    """The default output folder: `stem`, or `stem-2`, `stem-3` … where that holds another run.

    A folder whose run has the same spec and images is used again: the same command writes the same files. `resume` finds
    that folder, so that it need not be named.
    """
    number = 1
    while True:
        path = Path(stem if number == 1 else f"{stem}-{number}")
        earlier = read_manifest(path) if path.is_dir() else None
        if earlier is None and (not path.exists() or (path.is_dir() and not any(path.iterdir()))):
            if resume:
                raise OutputError(
                    "there is no run of this command to resume", hint=f"Name its folder with --out; looked in {stem}*."
                )
            return path
        if earlier is not None and not _differences(earlier, manifest, images=True):
            return path
        number += 1

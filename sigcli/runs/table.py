"""`results.csv`: one row for each item of a run; how it is written, and how it is read back whoever has saved it since."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import figure, read_bytes, safe_cell, write_aside
from .lines import Entry, Key, shared
from .packed import OfPacked

RESULTS = "results.csv"
_Reader = Callable[[Any], str]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


COLUMNS: Mapping[str, _Reader] = {
    "image": _text, "method": _text, "target": _text, "label": _text, "predicted": _text, "probability": figure,
    "region": _text, "score": figure, "output": _text,
    "seconds": _seconds, "gradient_evaluations": _text, "forward_evaluations": _text, "completeness_gap": figure,
    "relative_gap": figure, "standard_error": figure, "relative_standard_error": figure,
    "sum_standard_error": figure, "shown_standard_error": figure, "view": _text, "stopped": _text, "status": _text,
    "error": _text, "content": _text,
}  # fmt: skip
"""The columns of the table, and how each value is written: the one list of what is kept of an item."""
_COUNTS = ("gradient_evaluations", "forward_evaluations")
FACTS = tuple(
    name
    for name, write in COLUMNS.items()
    if write is figure or name in (*_COUNTS, "view", "stopped", "error", "region", "predicted")
)
"""What the ledger keeps of an item that is done, in full precision."""


def texts_of(values: Mapping[str, Any]) -> dict[str, str]:
    """The values of an item as the columns show them; empty where one has none."""
    return {name: write(values.get(name)) for name, write in COLUMNS.items()}


_OWN = ("image", "method", "target", "label", "output", "content")
"""What a line of the ledger has besides facts."""
_TEXTS = ("image", "label", "predicted", "region", "error")


_KEY = ("image", "method", "target")


def row_key(row: Mapping[str, str]) -> Key:
    """What makes a row one item: image, method, target."""
    return row["image"], row["method"], row["target"]


def cells_of(row: Mapping[str, Any]) -> dict[str, str]:
    """A row as the table shows it."""
    cells = {name: str(row.get(name, "")) for name in COLUMNS}
    for name in _TEXTS:
        if cells[name]:
            cells[name] = safe_cell(cells[name])
    return cells


def table_text(rows: Iterable[Mapping[str, str]], *, header: bool, columns: Sequence[str] = ()) -> str:
    """Rows as lines of CSV; where `columns` are given, only these."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(columns) or list[str](COLUMNS), lineterminator="\n", extrasaction="ignore")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def row_text(cells: Iterable[str]) -> str:
    """The cells of one row as a line of CSV, with its end."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(cells)
    return stream.getvalue()


class Rows(OfPacked[Key, dict[str, str]]):
    """Rows of the table by item, each kept as its line of CSV with its end."""

    def save(self, path: Path, keys: Iterable[Key]) -> None:
        """Write the table of a folder: its titles, and the rows of these items."""
        write_aside(path / RESULTS, lambda aside: self._write(aside, keys))

    def _write(self, aside: Path, keys: Iterable[Key]) -> None:
        with aside.open("w", encoding="utf-8", newline="") as stream:
            stream.write(row_text(COLUMNS))
            stream.writelines(map(self.line, keys))

    def __getitem__(self, key: Key) -> dict[str, str]:
        return dict(zip(COLUMNS, next(csv.reader(io.StringIO(self.line(key), newline=""))), strict=True))

    def __setitem__(self, key: Key, cells: Mapping[str, str]) -> None:
        self._lines[key] = row_text(map(cells.__getitem__, COLUMNS)).encode()


def read_rows(path: Path) -> tuple[list[dict[str, str]], bool]:
    """Rows of a folder's table, and whether it is as a run leaves it; a last line that was cut short is not damage.

    A table that a spreadsheet has saved (byte order mark, other separators and line ends, columns in another order) is read
    all the same. Rows without image and method are left out.
    """
    try:
        text = read_bytes(path / RESULTS).decode("utf-8", errors="replace")
    except OSError:
        return [], True
    plain = text.removeprefix("\ufeff").replace("\0", "")
    separator = max(",;\t", key=plain.partition("\n")[0].count)
    rows = _parsed(plain, separator)
    return [row for row in rows if row["image"] and row["method"]], all(_as_written(text[: text.rfind("\n") + 1]))


def _as_written(text: str) -> Iterator[list[str]]:
    """The rows of a table as a run leaves it: of this version, or of an earlier one with fewer columns; titles first.

    An empty row ends it where it is not as a run leaves it.
    """
    titles, place = text.partition("\n")[0].split(","), 0
    if titles != [name for name in COLUMNS if name in titles]:
        yield []
        return
    limit = csv.field_size_limit(max(len(text), 1))
    try:
        for row in csv.reader(io.StringIO(text, newline="")):
            line = row_text(row)
            if len(row) != len(titles) or not text.startswith(line, place):
                break
            place += len(line)
            yield row
    except csv.Error:
        pass
    finally:
        csv.field_size_limit(limit)
    if place != len(text):
        yield []


def _parsed(text: str, separator: str) -> list[dict[str, str]]:
    limit = csv.field_size_limit(max(len(text), 1))
    try:
        lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        return [{name: line.get(name) or "" for name in COLUMNS} for line in lines]
    except csv.Error:
        return []
    finally:
        csv.field_size_limit(limit)


def read_seconds(path: Path) -> tuple[dict[Key, str], bool]:
    """Seconds of each item by a folder's table, and whether that is as a run leaves it."""
    try:
        text = read_bytes(path / RESULTS).decode("utf-8", errors="replace")
    except OSError:
        return {}, True
    rows = _as_written(text[: text.rfind("\n") + 1])
    places = {name: place for place, name in enumerate(next(rows))}
    if not places.keys() >= {*_KEY, "seconds"}:
        return _seconds_of(read_rows(path)[0]), bool(places) and all(rows)
    found: dict[Key, str] = {}
    for row in rows:
        if not row:
            return _seconds_of(read_rows(path)[0]), False
        image, method, target, seconds = (row[places[name]] for name in (*_KEY, "seconds"))
        _note_seconds(found, (image, method, target), seconds)
    return found, True


def _seconds_of(rows: Iterable[Mapping[str, str]]) -> dict[Key, str]:
    found: dict[Key, str] = {}
    for row in rows:
        _note_seconds(found, row_key(row), row["seconds"].replace(",", "."))
    return found


def _note_seconds(found: dict[Key, str], key: Key, seconds: str) -> None:
    if key[0] and key[1] and re.fullmatch(r"[0-9]+([.][0-9]+)?", seconds):
        found[shared(key)] = f"{float(seconds):.3f}"


def row_of(entry: Entry, seconds: str) -> dict[str, str]:
    """The row of an item that is done, but for what no ledger keeps, its seconds."""
    row = dict.fromkeys(COLUMNS, "")
    for name in FACTS:
        value = entry.facts.get(name)
        if value is not None:
            row[name] = COLUMNS[name](value)
    for name in _OWN:
        row[name] = getattr(entry, name)
    return row | {"seconds": seconds, "status": "ok"}

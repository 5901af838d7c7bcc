"""Class names from a file: one per line, or a table of index and label."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from sigcli.errors import ModelError

from .sources.weights import check_file

_FORMS = "one label per line, or lines of index,label"


def read_labels(path: str | Path, classes: int) -> tuple[str, ...]:
    """Read one name for each class.

    Args:
        path: UTF-8 text with one label per line in class order, or CSV lines `index,label` in any order (a header
            line is passed over).
        classes: how many the network has.

    Raises:
        ModelError: no such file, not text, an index twice or out of range, or another number of labels.
    """
    path = Path(path)
    check_file(path, "labels")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"the labels file cannot be read: {error}", given=path, allowed=f"UTF-8 text, {_FORMS}"
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    table = (
        lines[1:] if lines and re.match(r"[\"']?[a-z_ ]*(index|id|class)[a-z_ ]*[\"']?\s*,", lines[0], re.I) else lines
    )
    labels = _table(path, table, classes) if _is_table(table) else lines
    if len(labels) != classes:
        raise ModelError(
            f"{len(labels)} labels for a network with {classes} classes",
            given=path,
            allowed=f"{classes} labels, {_FORMS}",
        )
    return tuple(labels)


def _is_table(lines: list[str]) -> bool:
    return bool(lines) and all(re.match(r"[\"']?\d+[\"']?\s*,", line) for line in lines)


def _table(path: Path, lines: list[str], classes: int) -> list[str]:
    labels: dict[int, str] = {}
    for row in _rows(path, lines):
        index = int(row[0])
        if index in labels or index >= classes:
            what = f"class {index} has two labels" if index in labels else f"there is no class {index}"
            raise ModelError(what, given=path, allowed=f"each index from 0 to {classes - 1} once")
        labels[index] = row[1].strip()
    return [labels[index] for index in sorted(labels)]


def _rows(path: Path, lines: list[str]) -> list[list[str]]:
    """Cells of a table, the first of each row a number of at most nine digits."""
    try:
        rows = list(csv.reader(io.StringIO("\n".join(lines)), skipinitialspace=True))
    except csv.Error as error:
        raise ModelError(f"the labels file cannot be read: {error}", given=path, allowed=_FORMS) from error
    odd = next((row for row in rows if len(row) < 2 or not re.fullmatch(r"\d{1,9}", row[0].strip())), None)
    if odd is not None:
        first = odd[0][:40] if odd else ""
        raise ModelError(f"the labels file has a line without index and label ('{first}')", given=path, allowed=_FORMS)
    return rows

"""Tables that people bring: their text, whatever wrote it, and their cells, whatever separates these."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import SigError, UsageError

Rows = list[list[str]]
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_STATED = re.compile(r"\s*sep=(.)\s*(?:\r\n|\r|\n)")


def read_text(path: Path, what: str, *, error: type[SigError] = UsageError, bytes_kept: bool = False) -> str:
    """The text of a file: UTF-8, with or without a byte order mark, or UTF-16 with one, as Excel's "Unicode text" is.

    Args:
        path: the file.
        what: what it is, for messages.
        error: what is raised.
        bytes_kept: bytes that are not UTF-8 stay what they are in names of files, instead of being refused.

    Raises:
        error: it cannot be read, or is no text.
    """
    try:
        data = path.read_bytes()
        if data[:4] == b"PK\x03\x04":
            raise error(f"{what} is a workbook or an archive", given=path, hint="Save it as CSV.")
        if data.startswith(_UTF16):
            text = data.decode("utf-16")
        else:
            text = data.decode("utf-8-sig", "surrogateescape" if bytes_kept else "strict")
    except (OSError, UnicodeError) as reason:
        raise error(f"{what} cannot be read: {reason}", given=path, allowed="UTF-8 text") from reason
    if "\0" in text:
        raise error(f"{what} is no text", given=path, allowed="UTF-8 text")
    return text


def lines_of(text: str) -> list[str]:
    """Lines, whichever of the three line ends they have; a last empty one is none."""
    lines = re.split(r"\r\n|\r|\n", text)
    return lines[:-1] if lines and not lines[-1] else lines


def _cut(separator: str) -> Callable[[str], Rows]:
    def rows(text: str) -> Rows:
        limit = csv.field_size_limit(max(len(text), 1))
        try:
            read = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
            return _filled([[cell.strip() for cell in row] for row in read])
        finally:
            csv.field_size_limit(limit)

    return rows


def _before_first_space(text: str) -> Rows:
    return _filled([line.split(None, 1) for line in lines_of(text)])


def _before_last_space(text: str) -> Rows:
    return _filled([line.rsplit(None, 1) for line in lines_of(text)])


def _filled(rows: Rows) -> Rows:
    return [row for row in rows if any(row)]


CUTS: Mapping[str, Callable[[str], Rows]] = {
    "commas": _cut(","), "semicolons": _cut(";"), "tabs": _cut("\t"), "bars": _cut("|"),
    "spaces": _before_last_space, "first spaces": _before_first_space,
}  # fmt: skip
"""What may separate cells → text → rows, those without any text left out. Quotes are as in CSV."""


def cuttings(text: str) -> dict[str, Rows]:
    r"""Every way in which a text is a table of two columns or more; if it states its separator (`sep=;`), that one.

    >>> cuttings("a.png;cat\nb.png;dog")
    {'semicolons': [['a.png', 'cat'], ['b.png', 'dog']]}
    """
    ways: Mapping[str, Callable[[str], Rows]] = CUTS
    if stated := _STATED.match(text):
        ways, text = {"its separator": _cut(stated[1])}, text[stated.end() :]
    found: dict[str, Rows] = {}
    for name, cut in ways.items():
        try:
            rows = cut(text)
        except csv.Error:  # a quote that is not closed: with this separator it is no table
            continue
        if any(len(row) > 1 for row in rows):
            found[name] = rows
    return found

"""A table of labels: its titles, whichever it has, and the rows below them; no column is taken for anything here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import UsageError
from ..inputs.tables import Rows
from .image_names import ImageNames


def _titles(words: str) -> frozenset[str]:
    return frozenset(words.split())


IMAGES = _titles(
    "image images img imagepath imagename imagefile imagefilename imageid imgpath imgname imgfile imgid file files filename "
    "filenames filepath fname path paths fullpath relativepath picture photo photograph url imageurl"
)
NAMES = _titles(
    "classname labelname targetname categoryname truename trueclassname truelabelname synset synsetid wnid wordnetid "
    "species breed"
)
INDICES = _titles(
    "classindex classidx classid classno classnumber labelindex labelidx labelid targetindex targetidx targetid "
    "categoryindex categoryid trueindex trueclassindex truelabelindex"
)
CLASSES = _titles(
    "class classes label labels target targets category y ytrue trueclass truelabel truecategory truth groundtruth gt "
    "gtlabel gtclass expected cls diagnosis dx"
)
ROWS = frozenset(("index", "idx"))
COUNTS = ROWS | frozenset(("", "unnamed0", "id", "no", "nr", "number", "row", "rowid", "rownumber", "key"))
_SHOWN = 8


@dataclass(frozen=True)
class Wanted:
    """The columns that the user named, None where sig is to find them.

    Args:
        image: title of the column of images.
        label: title of the column of classes; `index:TITLE` and `name:TITLE` say how it is to be read.
    """

    image: str | None = None
    label: str | None = None

    @property
    def titles(self) -> set[str]:
        """What the table's titles may be, by what was named."""
        own = {title for title in (self.image, self.label) if title}
        return own | {title.partition(":")[2] for title in own if title.startswith(("index:", "name:"))}


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        titles: of the columns; their numbers, from 1, where it has none.
        rows: the cells below the titles, as many in each row as there are titles.
        headed: whether it has titles.
    """

    titles: list[str]
    rows: Rows
    headed: bool

    def cells(self, place: int) -> list[str]:
        """A column."""
        return [row[place] for row in self.rows]

    def plain(self, place: int) -> str:
        """A title as in the sets above; "?" where there are none."""
        return plain(self.titles[place]) if self.headed else "?"

    def shown(self) -> str:
        """The titles, for a message."""
        more = f", … ({len(self.titles)} in all)" if len(self.titles) > _SHOWN else ""
        return ", ".join(title or "''" for title in self.titles[:_SHOWN]) + more


def plain(title: str) -> str:
    """A title without case and marks.

    >>> plain("Image_ID"), plain("Unnamed: 0")
    ('imageid', 'unnamed0')
    """
    return re.sub(r"[^a-z0-9]", "", title.casefold())


def _rows(ways: Mapping[str, Rows], images: ImageNames, wanted: Wanted) -> Rows:
    """The rows by the separator with which the titles are known, or else the most rows name an image."""
    if not ways:
        raise UsageError(
            "the labels file needs a column of images and a column of classes", given="one column",
            allowed="image,label (an index or a name)",
        )  # fmt: skip
    for rows in ways.values():
        for row in rows[:1] + [row for row in rows if not row[0].startswith("#")][:1]:
            cells = [cell.lstrip("# ") for cell in row]
            if len(cells) > 1 and (_is_header(cells) or wanted.titles & {*cells}):
                return rows
    return max(ways.values(), key=lambda rows: sum(any(map(images.fit, row)) and len(row) > 1 for row in rows))


def _is_header(cells: Sequence[str]) -> bool:
    known = {plain(cell) for cell in cells}
    return bool(known & IMAGES) and bool(known & (NAMES | INDICES | CLASSES | COUNTS))


def cut_table(ways: Mapping[str, Rows], images: ImageNames, wanted: Wanted) -> Table:
    """Find the separator and the titles; the rows below them, all of one length, without comments.

    Args:
        ways: the table, cut by each separator that cuts it.
        images: those of the run.
        wanted: the titles that the user named.

    Raises:
        UsageError: no table of two columns, no rows, or one with more cells than there are columns.
    """
    rows = _rows(ways, images, wanted)
    first = [cell.lstrip("# ") for cell in rows[0]]
    kept = [row for row in rows if not row[0].startswith("#") or any(map(images.fit, row))]
    if rows[0][0].startswith("#") and _is_header(first) and not (kept and _is_header(kept[0])):
        titles, body, headed = first, kept, True
    else:
        headed = bool(kept) and _has_titles(kept, images, wanted)
        titles, body = (kept[0], kept[1:]) if headed else ([], kept)
    if not body:
        raise UsageError("the labels file has no rows", allowed="image,label (an index or a name)")
    lengths = [len(row) - next((i for i, cell in enumerate(reversed(row)) if cell), len(row)) for row in body]
    if headed and all(len(row) == len(titles) + 1 for row in body) and counts([row[0] for row in body]):
        titles = ["", *titles]  # R gives the numbers of rows no title
    width = len(titles) if headed else max(set(lengths), key=lengths.count)
    if max(lengths) > width:
        odd = body[next(i for i, length in enumerate(lengths) if length > width)]
        hint = "A name with the separator in it needs quotes."
        raise UsageError(f"a row has {len(odd)} cells, and the table {width} columns", given=" | ".join(odd), hint=hint)
    titles = titles if headed else [str(number + 1) for number in range(width)]
    return Table(titles, [[*row, *[""] * width][:width] for row in body], headed)


def _has_titles(rows: Rows, images: ImageNames, wanted: Wanted) -> bool:
    """Whether the first row has titles: known ones, or none of it is like what is below."""
    first = rows[0]
    own = [images.fit(cell) for cell in first]
    if any(fit is not None and fit.whole for fit in own):
        return False
    if wanted.titles & {*first} or {plain(cell) for cell in first} & (IMAGES | NAMES | INDICES | CLASSES):
        return True
    below = [(place, images.fit(cell), cell) for row in rows[1:] for place, cell in enumerate(row)]
    wholly = [(place, cell) for place, fit, cell in below if fit is not None and fit.whole]
    if wholly:  # their suffixes tell titles from images that are not in the run
        place = wholly[0][0]
        suffixes = {cell.rpartition(".")[2].casefold() for at, cell in wholly if at == place}
        return place >= len(first) or first[place].rpartition(".")[2].casefold() not in suffixes
    return not any(own) and not any(cell.isdigit() for cell in first)


def lookup(table: Table, title: str, option: str) -> int:
    """The column of that title, or of that number where there are no titles."""
    found = [place for place, own in enumerate(table.titles) if own == title]
    found = found or [place for place, own in enumerate(table.titles) if own.casefold() == title.casefold()]
    if len(found) != 1:
        what = "several columns have this title" if found else "the labels file has no such column"
        raise UsageError(what, given=f"{option} {title}", allowed=table.shown())
    return found[0]


def counts(cells: Sequence[str], *, restarts: bool = True) -> bool:
    """Whether cells number rows from 0 or 1, as pandas does; with `restarts` also anew after some rows.

    >>> counts(["0", "1", "2"]), counts(["1", "2", "1"]), counts(["1", "2", "1"], restarts=False), counts(["0", "0", "1"])
    (True, True, False, False)
    """
    if not cells or not all(re.fullmatch(r"[0-9]{1,18}(\.0*)?", cell) for cell in cells):
        return False
    numbers = [int(float(cell)) for cell in cells]
    first = numbers[0]
    return first in (0, 1) and all(b == a + 1 or (restarts and b == first != a) for a, b in pairwise(numbers))

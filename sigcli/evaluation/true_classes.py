"""The true classes of images, from a table of labels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..inputs.given import Source
from ..inputs.tables import cuttings, read_text
from ..names import printable
from .class_cells import INDEX, NAME, Classes
from .image_names import Fit, ImageNames
from .label_columns import Reading, read_columns
from .label_table import Wanted

_SHOWN = 3
_NONE = Fit((), 0, 0)


@dataclass(frozen=True)
class TrueClasses:
    """What a table of labels says of the images of a run.

    Args:
        classes: name of an image in the run → class index, of the images that have one.
        note: how the table was read, and what of it fits.
    """

    classes: Mapping[str, int]
    note: str


def read_true_classes(
    path: Path, images: Sequence[Source], names: Sequence[str] | None, classes: int, wanted: Wanted | None = None
) -> TrueClasses:
    """Read the classes of a run's images from a table, as spreadsheets, pandas and data sets write them.

    Columns are found by their titles and by what is in them; commas, semicolons, tabs, bars or spaces separate cells; there
    may be comments (#), and no titles.

    Args:
        path: a table with a column of images and one of classes, see `sigcli.evaluation.label_table` for the titles.
        images: the images of the run.
        names: names of the classes, or None where labels can only be indices.
        classes: their number.
        wanted: columns that the user named.

    Raises:
        UsageError: no such file, no such columns, a label that is not a class, an image with two labels, none of the images,
            or anything that can be read in two ways.
    """
    if not path.is_file():
        raise UsageError("no such labels file", given=path)
    text = read_text(path, "the labels file", bytes_kept=True)
    if re.fullmatch(r"\{.*\}|\[.*\]|<.*>", text.strip(), re.DOTALL):
        raise UsageError("the labels file is JSON or XML, not a table", given=path, hint="Save it as CSV: image,label.")
    known = ImageNames(images)
    try:
        reading = read_columns(cuttings(text), known, Classes(names, classes), wanted or Wanted())
        found = _by_image(reading, known)
    except UsageError as error:
        given = path.name if error.given is None else f"{path.name}: {error.given}"
        raise UsageError(error.what, given=given, allowed=error.allowed, hint=error.hint) from error
    if not found:
        raise UsageError("none of the images has a label", given=path.name)
    labelled = {known.names[image]: label for image, (_, label) in sorted(found.items())}
    return TrueClasses(labelled, _note(path.name, reading, known, found, classes))


def _by_image(reading: Reading, known: ImageNames) -> dict[int, tuple[list[int], int]]:
    """Number of an image → the rows that name it best, and its class; raises UsageError where that cannot be known."""
    fits, claims = reading.fits, dict[int, list[int]]()
    for row, fit in enumerate(fits):
        for image in fit.images if fit is not None and reading.cells[row] is not None else ():
            claims.setdefault(image, []).append(row)
    found: dict[int, tuple[list[int], int]] = {}
    for image, every in claims.items():
        best = max(_strength(fits[row]) for row in every)
        rows = [row for row in every if _strength(fits[row]) == best]
        for row in rows:
            if len(alike := (fits[row] or _NONE).images) > 1:
                named = ", ".join(known.names[one] for one in alike[:_SHOWN])
                hint = "Write more of its path in the table."
                raise UsageError("several images are called so", given=f"{reading.names[row]}: {named}", hint=hint)
        labels = {label for row in rows for label in reading.cells[row] or ()}
        if len(labels) > 1:
            spellings = dict.fromkeys([known.names[image], *(reading.names[row] for row in rows)])
            raise UsageError("an image has two labels", given=", ".join(spellings))
        found[image] = rows, min(labels)
    return found


def _strength(fit: Fit | None) -> tuple[int, int]:
    return (fit or _NONE).strength


def _note(
    name: str, reading: Reading, known: ImageNames, found: Mapping[int, tuple[list[int], int]], count: int
) -> str:
    """How the table was read, and what of it fits, in a sentence."""
    used = {row for rows, _ in found.values() for row in rows}
    columns = " and ".join(f"'{column.title}'" for column in reading.columns)
    without = [own for number, own in enumerate(known.names) if number not in found]
    lost = [
        reading.names[row] for row in range(len(reading.names)) if row not in used and reading.cells[row] is not None
    ]
    empty = sum(cell is None for cell in reading.cells)
    parts = [
        f"{name}: images from the column '{reading.image}'{_how(reading, used)}, classes from {columns} "
        f"({_read_as(reading, count)})", *reading.aside,
        f"{len(found)} of {len(known)} images have a label{_some(without, 'not ')}",
    ]  # fmt: skip
    if empty:
        parts.append(f"{empty} {'row has' if empty == 1 else 'rows have'} no class")
    if lost:
        parts.append(f"{len(lost)} {'row fits' if len(lost) == 1 else 'rows fit'} no image{_some(lost)}")
    return printable("; ".join(parts))


def _how(reading: Reading, used: set[int]) -> str:
    """What of the files' names was passed over to find the images."""
    fits = [fit for row in used if (fit := reading.fits[row]) is not None]
    how = [" by the files' names alone, since folders differ"] * any(fit.elsewhere for fit in fits)
    return "".join([*how, *[" without suffixes"] * any(not fit.whole for fit in fits)])


def _read_as(reading: Reading, count: int) -> str:
    """What the cells were read as; of indices their range, which shows a table that counts from 1."""
    column = reading.columns[0]
    if column.read != INDEX:
        return "names" if column.read == NAME else "names and indices"
    labels = {label for cell in column.cells for label in cell or ()}
    told = f"indices {min(labels)} to {max(labels)}, counted from 0"
    return (
        f"{told}, none is 0: see that they do not count from 1" if 0 not in labels and 2 * len(labels) > count else told
    )


def _some(names: Sequence[str], before: str = "") -> str:
    if not names:
        return ""
    return f" ({before}{', '.join(map(printable, names[:_SHOWN]))}{', …' if len(names) > _SHOWN else ''})"

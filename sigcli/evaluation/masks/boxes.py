"""A CSV of boxes: image, x0, y0, x1, y1 in pixels, which is what lies between the edges; an image may have several rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import AttributionError, SigError, UsageError
from ...inputs.tables import read_text
from ...runs.folder import cell_text
from .areas import Areas
from .source import Source
from .wanted import Wanted

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of the image as it is shown."""
COLUMNS = ("image", "x0", "y0", "x1", "y1")
_CLASSES = ("class", "class_name", "class_id", "class_index", "label", "name", "category", "category_id")


class Boxes(Source):
    """The boxes of a table, by the image's name as it is written there.

    Raises:
        UsageError: a table of something else, whose boxes are fractions of the image, or of several classes.
    """

    word, sized = "box of", False

    def __init__(self, path: Path):
        self.path = path
        self._boxes, self._classes = _read(path)
        self.names = list(self._boxes)
        every = [edge for boxes in self._boxes.values() for box in boxes for edge in box]
        if not every:
            raise UsageError("the table has no boxes", given=path)
        if max(every) <= 1:
            raise UsageError(
                "the boxes are fractions of the image, or of one pixel", given=path, allowed="edges in pixels"
            )

    def judge(self, names: Sequence[str], wanted: Wanted) -> tuple[list[str], dict[str, SigError]]:  # noqa: ARG002
        """Boxes mean what they say."""
        self.refuse_words(wanted)
        told = ["what lies between the edges of a box is the object (x1 and y1 are the first pixels outside)"]
        if self._classes:
            told.append(f"the boxes of each image are its object, whatever their class ({', '.join(self._classes)})")
        return told, {}

    def areas(self, name: str, size: tuple[int, int]) -> Areas:
        """What lies in the boxes of an image.

        Raises:
            AttributionError: a box outside of it, or without a pixel.
        """
        return Areas(drawn(self._boxes[name], size))


def drawn(boxes: Sequence[Box], size: tuple[int, int]) -> np.ndarray:
    """Boxes as a mask, bool (H, W).

    Raises:
        AttributionError: a box outside of the image, or without a pixel.
    """
    found = np.zeros(size, bool)
    for x0, y0, x1, y1 in boxes:
        told = f"the box {x0:g},{y0:g},{x1:g},{y1:g}"
        if not (0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]):
            raise AttributionError(f"{told} does not lie in the image of {size[1]}x{size[0]}")
        part = found[round(y0) : round(y1), round(x0) : round(x1)]
        if not part.size:
            raise AttributionError(f"{told} holds no pixel")
        part[:] = True
    return found


def _read(path: Path) -> tuple[dict[str, list[Box]], list[str]]:
    """The boxes of each image, and the classes of the table where it has several; one image has boxes of one."""
    text = read_text(path, "the table of boxes")
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        titles, rows = list(reader.fieldnames or ()), list(reader)
    except csv.Error as error:
        raise UsageError(f"the table of boxes cannot be read: {error}", given=path) from error
    if not set(COLUMNS) <= set(titles):
        raise UsageError(
            "the table of boxes lacks columns", given=f"{path.name}: {', '.join(titles)}",
            allowed=",".join(COLUMNS),
        )  # fmt: skip
    classes = _one_class_each(path, rows, titles)
    found: dict[str, list[Box]] = {}
    for row in rows:
        try:
            x0, y0, x1, y1 = (float(row[name]) for name in COLUMNS[1:])
        except (TypeError, ValueError) as error:
            raise UsageError("a box needs four numbers", given=f"{path.name}: {row['image']}") from error
        if not np.isfinite([x0, y0, x1, y1]).all():
            raise UsageError("a box needs four numbers", given=f"{path.name}: {row['image']}")
        found.setdefault(cell_text(row["image"]), []).append((x0, y0, x1, y1))
    return found, classes


def _one_class_each(path: Path, rows: Sequence[dict[str, str]], titles: Sequence[str]) -> list[str]:
    """The classes of the table, where there are several; refuses several in one image: nothing says which is the object."""
    every: set[str] = set()
    for title in (title for title in titles if title.strip().casefold() in _CLASSES):
        classes: dict[str, set[str]] = {}
        for row in rows:
            classes.setdefault(row["image"], set()).add((row[title] or "").strip())
        for image, found in classes.items():
            if len(found) > 1:
                raise UsageError(
                    f"an image has boxes of several classes, in the column {title!r}",
                    given=f"{path.name}: {cell_text(image)}: {', '.join(sorted(found))}",
                    hint="Keep the rows of the object in the table, or leave that column out to take all boxes.",
                )
            every |= found
    return sorted(every) if len(every) > 1 else []

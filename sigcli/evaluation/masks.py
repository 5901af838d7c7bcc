"""Where the objects of the images are: a folder of masks, or a CSV of boxes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ..errors import AttributionError, UsageError
from ..inputs.images import find_images, read_image
from ..names import escaped, printable
from ..runs.folder import cell_text

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of the image as it is on disk."""
COLUMNS = ("image", "x0", "y0", "x1", "y1")


def find_masks(path: Path) -> dict[str, Path | list[Box]]:
    """Mask files of a folder by their path within it, without the suffix; or the boxes of a CSV by the image's.

    Names are escaped as in a run; a table may write them so or as they are.

    Args:
        path: a folder of masks with the images' names, or a CSV with columns image, x0, y0, x1, y1; an image may have
            several rows.

    Raises:
        UsageError: it is not there, or is a table of something else.
    """
    if path.suffix.lower() == ".csv" and path.is_file():
        return _boxes(path)
    if not path.is_dir():
        raise UsageError("no such folder of masks", given=path)
    return {escaped(file.relative_to(path).with_suffix("").as_posix()): file for file in find_images([path])}


def drawn(known: Path | list[Box], size: tuple[int, int]) -> np.ndarray:
    """The mask as a picture uint8 (h, w, 3), white on the object.

    Args:
        known: a mask's file, or boxes.
        size: height and width of the image.

    Raises:
        AttributionError: a mask of a size other than the image's, or a box outside of it.
        ImageError: a mask that cannot be read.
    """
    if isinstance(known, Path):
        pixels = read_image(known).pixels
        if pixels.shape[:2] != size:
            raise AttributionError(
                f"the mask {known.name} has {pixels.shape[1]}x{pixels.shape[0]} pixels, its image {size[1]}x{size[0]}"
            )
        return pixels
    found = np.zeros((*size, 3), np.uint8)
    for x0, y0, x1, y1 in known:
        if not (0 <= x0 < x1 <= size[1] and 0 <= y0 < y1 <= size[0]):
            raise AttributionError(
                f"the box {x0:g},{y0:g},{x1:g},{y1:g} does not lie in the image of {size[1]}x{size[0]}"
            )
        found[round(y0) : round(y1), round(x0) : round(x1)] = 255
    return found


def _boxes(path: Path) -> dict[str, Path | list[Box]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"the table of boxes cannot be read: {error}", given=path) from error
    if not set(COLUMNS) <= set(reader.fieldnames or ()):
        raise UsageError(
            "the table of boxes lacks columns", given=f"{path.name}: {', '.join(reader.fieldnames or ())}",
            allowed=",".join(COLUMNS),
        )  # fmt: skip
    found: dict[str, Path | list[Box]] = {}
    for row in rows:
        try:
            x0, y0, x1, y1 = (float(row[name]) for name in COLUMNS[1:])
        except (TypeError, ValueError) as error:
            raise UsageError("a box needs four numbers", given=f"{path.name}: {row['image']}") from error
        boxes = found.setdefault(printable(Path(cell_text(row["image"])).with_suffix("").as_posix()), [])
        assert isinstance(boxes, list)
        boxes.append((x0, y0, x1, y1))
    return found

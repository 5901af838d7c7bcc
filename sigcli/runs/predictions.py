"""`predictions.csv`: the model's likeliest answers to each image of a run, as the record of its files keeps them."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..files import append_whole, figure, safe_cell, write_aside, write_text
from .lines import Entry

PREDICTIONS = "predictions.csv"
COLUMNS = ("image", "rank", "class", "probability", "index")


def predictions_text(entries: Iterable[Entry], *, header: bool) -> str:
    """Answers to images as lines of CSV, from rank 1 for the likeliest: one block for each image.

    Empty where none of the images has any: of pairs, of regions, and of networks without probabilities.

    Args:
        entries: items of the images; of each image the first one tells.
        header: whether titles stand above.
    """
    blocks: dict[str, Any] = {}
    for entry in entries:
        if found := entry.facts.get("predictions"):
            blocks.setdefault(entry.image, found)
    rows = [
        (safe_cell(image), str(rank), safe_cell(name), figure(probability), str(index))
        for image, found in blocks.items()
        for rank, (index, name, probability) in enumerate(found, 1)
    ]
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([*([COLUMNS] if header and rows else ()), *rows])
    return stream.getvalue()


class Predictions:
    """The file in a run folder.

    Args:
        path: the folder.
        known: items whose images' answers stand in it.
    """

    def __init__(self, path: Path, known: Iterable[Entry] = ()):
        self.file = path / PREDICTIONS
        self._told = {one.image for one in known if one.facts.get("predictions")}
        self._guard = threading.Lock()

    def tell(self, entry: Entry) -> None:
        """Append the answers to the image of an item, once; safe from several threads."""
        with self._guard:
            if entry.image not in self._told:
                self._told.add(entry.image)
                text = predictions_text([entry], header=not self.file.exists())
                if text:
                    append_whole(self.file, text)

    def settle(self, entries: Iterable[Entry]) -> None:
        """Write the file anew from all items, in their order; none where no image has any answers."""
        text = predictions_text(entries, header=True)
        if text:
            write_aside(self.file, lambda aside: write_text(aside, text))
        else:
            self.file.unlink(missing_ok=True)

"""`predictions.csv`: the model's likeliest answers to each image of a run, as the record of its files keeps them."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from ..files import append_whole, figure, safe_cell, write_aside, write_text
from .lines import Entry

PREDICTIONS = "predictions.csv"
COLUMNS = ("image", "rank", "class", "probability", "index")


def answers_text(answers: Iterable[tuple[str, Any]], *, header: bool) -> str:
    """Answers to images as lines of CSV, from rank 1 for the likeliest: one block for each image.

    Empty where none of the images has any: of pairs, of regions, and of networks without probabilities.

    Args:
        answers: for items of the images the image and the answers; of each image the first one that has any tells.
        header: whether titles stand above.
    """
    stream, told = io.StringIO(), set[str]()
    write = csv.writer(stream, lineterminator="\n").writerow
    for image, found in answers:
        if not found or image in told:
            continue
        if header and not told:
            write(COLUMNS)
        told.add(image)
        shown = safe_cell(image)
        for rank, (index, name, probability) in enumerate(found, 1):
            write((shown, rank, safe_cell(name), figure(probability), index))
    return stream.getvalue()


class Predictions:
    """The file in a run folder.

    Args:
        path: the folder.
        known: the images and answers of items that were recorded earlier, asked for where there are more to tell.
    """

    def __init__(self, path: Path, known: Callable[[], Iterable[tuple[str, Any]]]):
        self.file, self._known = path / PREDICTIONS, known
        self._guard = threading.Lock()

    @cached_property
    def _told(self) -> set[str]:
        told = set[str]()

        def earlier() -> Iterator[tuple[str, Any]]:
            for image, found in self._known():
                if found:
                    told.add(image)
                yield image, found

        self.settle(earlier())
        return told

    def prepare(self) -> None:
        """Let the file have what was recorded earlier: to be called before an item is recorded, for no thread may add to
        the records while they are gone through.
        """
        with self._guard:
            _ = self._told

    def tell(self, entry: Entry) -> None:
        """Append the answers to the image of an item, once; safe from several threads."""
        found = entry.facts.get("predictions")
        with self._guard:
            if found and entry.image not in self._told:
                text = answers_text([(entry.image, found)], header=not self.file.exists())
                append_whole(self.file, text)
                self._told.add(entry.image)

    def settle(self, answers: Iterable[tuple[str, Any]]) -> None:
        """Write the file anew from all items, see `answers_text`; none where no image has any answers."""
        text = answers_text(answers, header=True)
        if text:
            write_aside(self.file, lambda aside: write_text(aside, text))
        else:
            self.file.unlink(missing_ok=True)

"""The order of a run's rows: image by image as they were named, method by method, target by target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..comparisons import target_of
from ..files import safe_cell

Place = tuple[int, int, int]


class RowOrder:
    """Where a row of `results.csv` belongs.

    Args:
        images: names of the images, in order.
        methods: names of the methods, in order.
        classes: of the model, which tell a class from a comparison of two.
    """

    def __init__(self, images: Iterable[str], methods: Iterable[str], classes: int):
        self._images = {safe_cell(name): place for place, name in enumerate(images)}
        self._methods = {name: place for place, name in enumerate(methods)}
        self._classes = classes

    def __call__(self, row: Mapping[str, str]) -> Place:
        """By its image as the table shows it, its method and its target; what is not among them comes last."""
        images, methods = self._images, self._methods
        found = methods.get(row["method"], len(methods))
        return images.get(row["image"], len(images)), found, target_of(row["target"] or -1, self._classes)

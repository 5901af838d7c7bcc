"""Names written beside the points of a plot, where they cover nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

_LETTER, _LINE = 0.076, 0.14
"""Width of a letter and height of a line in inches, at 8 points."""
Box = tuple[float, float, float, float]
"""Left, bottom, right, top, in inches."""


@dataclass(frozen=True)
class Mark:
    """A point with an upright interval, to be named.

    Args:
        name: of the point.
        x: its place.
        y: its place.
        low: lower end of its interval.
        high: upper end of its interval.
        colour: of its name.
    """

    name: str
    x: float
    y: float
    low: float
    high: float
    colour: str


def label_points(axis: Axes, marks: Sequence[Mark], *, size: tuple[float, float]) -> None:
    """Write each mark's name near its point, where it covers the least of points, intervals and other names.

    Args:
        axis: whose scales and limits are set.
        marks: to name.
        size: about the width and height of the axes in inches.
    """
    points = {mark.name: _inches(axis, mark, size) for mark in marks}
    taken = [_around(*points[mark.name][:2], 0.06) for mark in marks]
    taken += [(x - 0.02, low, x + 0.02, high) for x, _, low, high in points.values()]
    for mark in sorted(marks, key=lambda mark: -points[mark.name][1]):
        x, y = points[mark.name][:2]
        box = min(_places(x, y, _LETTER * len(mark.name)), key=lambda box: _cost(box, taken, size))
        taken.append(box)
        middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        leader = {"arrowstyle": "-", "color": mark.colour, "lw": 0.6, "alpha": 0.7, "shrinkA": 0, "shrinkB": 3}
        near = abs(middle[1] - y) < 0.2
        axis.annotate(
            mark.name, (mark.x, mark.y), (72 * (middle[0] - x), 72 * (middle[1] - y)), textcoords="offset points",
            ha="center", va="center", fontsize=8, weight="bold", color=mark.colour,
            arrowprops=None if near else leader,
        )  # fmt: skip


def _inches(axis: Axes, mark: Mark, size: tuple[float, float]) -> tuple[float, float, float, float]:
    """x, y, low and high of a mark, from the lower left corner of the axes."""
    corners = np.array([(mark.x, mark.y), (mark.x, mark.low), (mark.x, mark.high)], float)
    at = (axis.transData + axis.transAxes.inverted()).transform(corners) * np.array(size)
    return float(at[0, 0]), float(at[0, 1]), float(at[1, 1]), float(at[2, 1])


def _around(x: float, y: float, half: float) -> Box:
    return x - half, y - half, x + half, y + half


def _places(x: float, y: float, width: float) -> Iterator[Box]:
    """Where a name may stand: right and left of its point first, then above and below, then farther away."""
    for rise in (0.0, 0.13, -0.13, 0.26, -0.26, 0.42, -0.42, 0.6, -0.6, 0.8, -0.8):
        for middle in (x + 0.1 + width / 2, x - 0.1 - width / 2, x):
            yield middle - width / 2, y + rise - _LINE / 2, middle + width / 2, y + rise + _LINE / 2


def _cost(box: Box, taken: Sequence[Box], size: tuple[float, float]) -> float:
    """Area covered, and what sticks out of the axes; the first place wins among equals."""
    covered = sum(_overlap(box, other) for other in taken)
    width, height = box[2] - box[0], box[3] - box[1]
    return covered + 2 * (width * height - _overlap(box, (0.0, 0.0, *size)))


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)

"""Names written beside the points of a plot, where they cover nothing.

adjustText 1.4 was tried in place of this: its names move step by step away from what they cover and come to rest where they
still cover some of it. Of 20 random panels of ten methods 15 had all names readable, by the fixed places below 19.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from .looks import text_inches

_LINE, _AIR = 0.14, 0.03
"""Height of a line at 8 points, and what must stay free around a name, in inches."""
_CROSSING = 0.1
"""What a leader line costs that crosses a name or another leader, in square inches covered."""
Box = tuple[float, float, float, float]
"""Left, bottom, right, top, in inches."""
Segment = tuple[float, float, float, float]
"""x and y of both ends, in inches."""


@dataclass(frozen=True)
class Mark:
    """A point with an upright interval, to be named.

    Args:
        name: name of the point.
        x: its place.
        y: its place.
        low: lower end of its interval.
        high: upper end of its interval.
        colour: colour of its name.
    """

    name: str
    x: float
    y: float
    low: float
    high: float
    colour: str


@dataclass(frozen=True)
class Place:
    """Where a name stands.

    Args:
        mark: the mark whose name it is.
        right: offset of the name's middle from its point, in points.
        up: the same.
        leader: whether a line leads to the point, since it stands far away.
        cost: what it covers, 0 where nothing.
    """

    mark: Mark
    right: float
    up: float
    leader: bool
    cost: float


def plan_names(axis: Axes, marks: Sequence[Mark], *, size: tuple[float, float]) -> list[Place]:
    """Where each mark's name covers the least of points, intervals, other names and their leaders.

    Args:
        axis: the axis whose scales and limits are set.
        marks: to name.
        size: about the width and height of the axes in inches.
    """
    points = {mark.name: _inches(axis, mark, size) for mark in marks}
    taken = [_around(*points[mark.name][:2], 0.06) for mark in marks]
    taken += [(x - 0.02, low, x + 0.02, high) for x, _, low, high in points.values()]
    names: list[Box] = []
    leaders: list[Segment] = []
    found = []
    for mark in sorted(marks, key=lambda mark: -points[mark.name][1]):
        x, y = points[mark.name][:2]
        choices = [
            (_cost(box, taken, size) + _crossings(box, leader, names, leaders), box, leader)
            for box, leader in _places(x, y, text_inches(mark.name, 8, "bold"))
        ]
        cost, box, leader = min(choices, key=lambda choice: choice[0])
        taken.append(box)
        names.append(box)
        leaders += [] if leader is None else [leader]
        middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        found.append(Place(mark, 72 * (middle[0] - x), 72 * (middle[1] - y), leader is not None, cost))
    return found


def write_names(axis: Axes, places: Sequence[Place]) -> None:
    """Write the names where they were planned."""
    for place in places:
        mark = place.mark
        line = {"arrowstyle": "-", "color": mark.colour, "lw": 0.6, "alpha": 0.7, "shrinkA": 0, "shrinkB": 3}
        axis.annotate(
            mark.name, (mark.x, mark.y), (place.right, place.up), textcoords="offset points",
            ha="center", va="center", fontsize=8, weight="bold", color=mark.colour,
            arrowprops=line if place.leader else None,
        )  # fmt: skip


def _inches(axis: Axes, mark: Mark, size: tuple[float, float]) -> tuple[float, float, float, float]:
    """x, y, low and high of a mark, from the lower left corner of the axes."""
    corners = np.array([(mark.x, mark.y), (mark.x, mark.low), (mark.x, mark.high)], float)
    at = (axis.transData + axis.transAxes.inverted()).transform(corners) * np.array(size)
    return float(at[0, 0]), float(at[0, 1]), float(at[1, 1]), float(at[2, 1])


def _around(x: float, y: float, half: float) -> Box:
    return x - half, y - half, x + half, y + half


def _places(x: float, y: float, width: float) -> Iterator[tuple[Box, Segment | None]]:
    """Where a name may stand: right and left of its point first, then above and below, then farther away with a leader."""
    for rise in (0.0, 0.13, -0.13, 0.26, -0.26, 0.42, -0.42, 0.6, -0.6, 0.8, -0.8):
        for middle in (x + 0.1 + width / 2, x - 0.1 - width / 2, x):
            box = middle - width / 2, y + rise - _LINE / 2, middle + width / 2, y + rise + _LINE / 2
            yield box, None if abs(rise) < 0.2 else (x, y, middle, y + rise)


def _cost(box: Box, taken: Sequence[Box], size: tuple[float, float]) -> float:
    """Area covered, and what sticks out of the axes; the first place wins among equals."""
    wide = box[0] - _AIR, box[1], box[2] + _AIR, box[3]
    covered = sum(_overlap(wide, other) for other in taken)
    width, height = box[2] - box[0], box[3] - box[1]
    return covered + 2 * max(0.0, width * height - _overlap(box, (0.0, 0.0, *size)))


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _crossings(box: Box, leader: Segment | None, names: Sequence[Box], leaders: Sequence[Segment]) -> float:
    """What lines and names that meet cost: this leader on other names and leaders, and other leaders on this name."""
    met = sum(_on(box, other) for other in leaders)
    if leader is not None:
        met += sum(_on(name, leader) for name in names) + sum(_cross(leader, other) for other in leaders)
    return _CROSSING * met


def _on(box: Box, line: Segment) -> bool:
    """Whether a line meets a box, by points along it."""
    along = np.linspace(0, 1, 25)
    x, y = line[0] + along * (line[2] - line[0]), line[1] + along * (line[3] - line[1])
    return bool(np.any((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])))


def _cross(one: Segment, other: Segment) -> bool:
    """Whether two lines cross: the ends of each lie on both sides of the other."""

    def side(line: Segment, x: float, y: float) -> float:
        return (line[2] - line[0]) * (y - line[1]) - (line[3] - line[1]) * (x - line[0])

    return side(one, *other[:2]) * side(one, *other[2:]) < 0 > side(other, *one[:2]) * side(other, *one[2:])

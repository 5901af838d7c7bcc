"""`--figure`: the maps of a run as one figure for a paper, gathered as explanations come."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import numpy as np

from .. import render
from ..errors import OutputError, UsageError
from .drawing import Drawing, picture_of
from .predictions import percent
from .sheets import reading, with_values

if TYPE_CHECKING:
    from ..render.plots.paper_page import PaperRow
    from .explanation import Explanation
    from .options import RunOptions

KINDS = (".pdf", ".svg", ".png")
WIDTHS = {
    "nature": 89.0, "nature-wide": 183.0, "science": 57.0, "science-wide": 121.0, "elsevier": 90.0, "elsevier-wide": 190.0,
    "ieee": 88.9, "ieee-wide": 181.9, "cvpr": 82.6, "cvpr-wide": 174.6, "icml": 82.6, "icml-wide": 171.5,
    "neurips": 139.7, "iclr": 139.7,
}  # fmt: skip
"""Widths of columns and of the text in mm, as the instructions to authors of journals and conferences have them."""
MOST_ROWS = 24
_RANGE = (30.0, 600.0)
_NARROWEST = 8.0
"""mm of a column: a turned heading and its unit are 5.5 mm wide."""


@dataclass(frozen=True)
class Wish:
    """The figure that is wished for.

    Args:
        path: its file.
        width: in mm.
    """

    path: Path
    width: float

    @classmethod
    def of(cls, options: RunOptions) -> Wish | None:
        """That of a run, or None.

        Raises:
            UsageError: an ending or a width that there is not.
            OutputError: the folder is not there, or nothing can be written in it.
        """
        named, width = getattr(options, "figure", None), getattr(options, "figure_width", None)
        if named is None:
            if width is not None:
                raise UsageError("--figure-width is the width of a figure", hint="Add --figure FILE.pdf.")
            return None
        path = Path(named)
        if path.suffix.lower() not in KINDS:
            raise UsageError("--figure needs a file of a known kind", given=str(named), allowed=", ".join(KINDS))
        if not path.absolute().parent.is_dir():
            raise OutputError("the folder of the figure is not there", given=path)
        if path.is_dir():
            raise OutputError("the figure is a folder", given=path)
        wide = width_of(width)
        _check_writable(path)
        return cls(path, wide)

    def check(self, rows: int) -> None:
        """Raise UsageError where a run has more rows than a figure has room for."""
        if rows > MOST_ROWS:
            raise UsageError(
                f"--figure has room for {MOST_ROWS} rows, one for each image and target", given=f"{rows} rows",
                hint="Name fewer images: with --resume, what a finished run has done is not done again.",
            )  # fmt: skip


def width_of(text: str | float | None) -> float:
    """A width in mm, from the name of a journal or a number of mm.

    Raises:
        UsageError: another text, or a number that is no width of a page.

    >>> width_of("nature"), width_of("120"), width_of(None)
    (89.0, 120.0, 139.7)
    """
    if text is None:
        return WIDTHS["neurips"]
    name = str(text).strip().lower()
    if name in WIDTHS:
        return WIDTHS[name]
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(mm|cm|in)?", name)
    allowed = f"{', '.join(WIDTHS)}, or a number of mm from {_RANGE[0]:g} to {_RANGE[1]:g}"
    if found is None:
        raise UsageError("unknown figure width", given=str(text), allowed=allowed)
    width = float(found[1]) * {"mm": 1.0, "cm": 10.0, "in": 25.4, None: 1.0}[found[2]]
    if not _RANGE[0] <= width <= _RANGE[1]:
        raise UsageError("a figure cannot be so wide", given=f"{width:g} mm", allowed=allowed)
    return width


@dataclass(eq=False)
class Gathered:
    """The explanations of a run, as rows of its figure.

    Args:
        wish: which figure.
        methods: names of the methods, in order.
        drawing: how maps are shown.
    """

    wish: Wish
    methods: Sequence[str]
    drawing: Drawing
    _rows: dict[tuple[str, str], dict[str, Explanation]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise UsageError where columns would be so narrow that their headings overlap, before anything is computed."""
        count, wide = len(self.methods), self.wish.width
        most = max(1, int(wide / _NARROWEST) - 1)
        if count > most:
            raise UsageError(
                f"a figure {wide:g} mm wide has no room for {count} methods",
                allowed=f"{most} methods, or --figure-width {math.ceil((count + 1) * _NARROWEST)} or more",
            )

    def take(self, item: Explanation) -> None:
        """An explanation is done."""
        self._rows.setdefault((item.image, str(item.target)), {})[item.method] = with_values(item)

    def write(self) -> None:
        """Draw the figure; of pictures that failed altogether nothing is drawn.

        Raises:
            UsageError: nothing succeeded.
            OutputError: it cannot be written.
        """
        from ..render.plots.paper import paper_figure
        from ..render.plots.paper_page import PaperColumn

        rows = [row for of in self._rows.values() if (row := self._row(of)) is not None]
        if not rows:
            raise UsageError("the figure cannot be drawn: no explanation succeeded", given=self.wish.path)
        done = [one for of in self._rows.values() for one in of.values() if one.status == "ok"]
        first = {one.method: one for one in reversed(done)}
        columns = [
            PaperColumn(name) if (one := first.get(name)) is None else PaperColumn(name, one.unit, one.ends, one.turned)
            for name in self.methods
        ]
        try:
            paper_figure(
                self.wish.path, columns, rows, width=self.wish.width / 25.4, footnote=self._footnote(done, rows),
                palette=self.drawing.palette, common=self._common,
            )  # fmt: skip
        except OSError as error:
            hint = f"{error.strerror or error}."
            raise OutputError("the figure cannot be written", given=self.wish.path, hint=hint) from error

    @property
    def _common(self) -> bool:
        return self.drawing.scale == "common" and len(self.methods) > 1

    def _row(self, of: dict[str, Explanation]) -> PaperRow | None:
        from ..render.plots.paper_page import PaperRow

        done = {name: one for name, one in of.items() if one.status == "ok" and one.values is not None}
        if not done:
            return None
        first = next(iter(done.values()))
        shown = {name: self.drawing.faded(one)[0] for name, one in done.items()}
        limits = {name: self._limit(done[name], values) for name, values in shown.items()}
        if self._common:
            limits = {
                name: _median(limits[other] for other in done if done[other].unit == done[name].unit) for name in done
            }
        return PaperRow(
            first.what(), picture_of(first), [shown.get(name) for name in self.methods],
            [limits.get(name, 0.0) for name in self.methods], first.seen.region,
            "" if first.chance is None else percent(first.chance),
        )  # fmt: skip

    def _limit(self, item: Explanation, shown: np.ndarray) -> float:
        """Where the scale of a map ends: that of the whole map where it is faded."""
        if not self.drawing.significant or item.values is None:
            return render.symmetric_limit(shown)
        return render.symmetric_limit(self.drawing.seen(item, item.values, picture_of(item)))

    def _footnote(self, done: Sequence[Explanation], rows: Sequence[PaperRow]) -> str:
        """How the colours are read, the rule of the scales, and what was done to the maps."""
        first = {one.method: one for one in reversed(done)}
        ready = [first[name] for name in self.methods if name in first]
        shape = done[0].values.shape if done[0].values is not None else picture_of(done[0]).shape[:2]
        drawn = [
            (name, values) for row in rows for name, values in zip(self.methods, row.maps, strict=True)
            if values is not None
        ]  # fmt: skip
        palette, told = self.drawing.palette, reading(ready, self.drawing)
        signed = {palette.table(values, turned=first[name].turned) is palette.signed for name, values in drawn}
        rule = (
            "Maps of one picture and unit share one scale, the median of their own"
            if self._common
            else "Each map has its own scale"
            if len(drawn) > 1
            else "The scale is"
        )
        span, colours = {
            (True,): ("symmetric about 0", told),
            (False,): ("from 0 up", "The brighter, the larger the value."),
            (False, True): (
                "symmetric about 0, or from 0 up where there are no negative values",
                f"{told} Maps without negative values are the brighter, the larger the value.",
            ),
        }[tuple(sorted(signed))]
        units = {one.unit for one in ready}
        unit = f" ({next(iter(units))})" if len(units) == 1 else ", in the unit under the method's name"
        scales = f"{rule}{' ' if len(drawn) == 1 else ', '}{span}; where it ends is printed below{unit}."
        done_to = self.drawing.caption(ready, shape).replace(" · ", "; ")
        return f"{colours} {scales} Maps: {done_to}."


def _check_writable(path: Path) -> None:
    """Raise OutputError where the file could not be written in the end: a file beside it is made and removed.

    Permissions alone do not tell: root may write everywhere but on a read-only disk.
    """
    try:
        with NamedTemporaryFile(dir=path.absolute().parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        hint = f"{error.strerror or error}."
        raise OutputError("the figure cannot be written", given=path, hint=hint) from error


def _median(limits: Iterable[float]) -> float:
    """The lower median of the limits above 0, as in sheets."""
    own = sorted(one for one in limits if one > 0)
    return own[(len(own) - 1) // 2] if own else 0.0

"""What all plots share: one look, panels side by side, and saving without a half-written file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from ...runs.folder import write_aside
from ..maps.colours import diverging
from ..maps.layout import flow

_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "text.parse_math": False,  # a file may be called $x$
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": "#333333",
    "xtick.color": "#555555",
    "ytick.color": "#333333",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
}
_COLOURS = (
    "#d1495b",
    "#7a1022",
    "#2b6ca3",
    "#7a7a7a",
    "#e0a030",
    "#3a8f6a",
    "#8d5fa8",
    "#1f3b57",
    "#b05f2a",
    "#5fb0b0",
)
DPI = 150
_LETTERS = 11.5
"""Letters of a title that fit an inch."""


def signed_colours() -> ListedColormap:
    """The red/blue table of the maps, for matplotlib."""
    return ListedColormap(diverging()[:, :3] / 255.0, name="sig")


def cycle(count: int) -> list[str]:
    """A colour for each of `count` methods."""
    return [_COLOURS[i % len(_COLOURS)] for i in range(count)]


def canvas(axes: Sequence[Axes]) -> Figure:
    """The figure that some panels stand in."""
    figure = axes[0].get_figure(root=True)
    if figure is None:
        raise RuntimeError("the axes belong to no figure")
    return figure


def even(count: int) -> int:
    """Panels in a row, so that few places stay empty: two of four, else three.

    >>> [even(count) for count in (1, 2, 3, 4, 6)]
    [3, 2, 3, 2, 3]
    """
    return 2 if count in (2, 4) else 3


@contextmanager
def panels(
    path: Path, count: int, *, size: tuple[float, float], columns: int = 2, title: str | None = None
) -> Iterator[list[Axes]]:
    """Axes for some panels; the figure is written when the block ends.

    Args:
        path: the PNG.
        count: number of panels.
        size: width and height of one panel in inches.
        columns: panels in a row.
        title: title over all of them.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    with rc_context(_STYLE):
        figure = Figure(figsize=(size[0] * columns, size[1] * rows + (0.4 if title else 0)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for spare in axes[count:]:
            spare.set_axis_off()
        if title:
            figure.suptitle("\n".join(flow(title, len, int(_LETTERS * size[0] * columns))), fontsize=11)
        yield axes[:count]
        write_aside(path, lambda aside: figure.savefig(aside, format="png", dpi=DPI))

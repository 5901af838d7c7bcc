"""The game drawn as a grid: an arrow for every (cell, action) player, coloured by its Shapley value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from ..render.plots.panels import panels, signed_colours
from .study import Condition
from .world import ACTIONS, World

_CELL, _SHIFT, _RADIUS = 0.46, 0.11, 0.085


def draw_games(conditions: Sequence[Condition], path: Path) -> None:
    """One panel per condition.

    Args:
        conditions: the games.
        path: the PNG.
    """
    widest = max([2, *(c.world.width for c in conditions)])
    tallest = max(c.world.height for c in conditions)
    size = (1.75 * widest + 0.9, 1.75 * tallest + 0.7)
    title = "What each move is worth: exact Shapley values of the (cell, action) players"
    with panels(path, len(conditions), size=size, columns=2 if widest <= 4 else 1, title=title) as axes:
        for axis, condition in zip(axes, conditions, strict=True):
            _draw_game(axis, condition)


def _draw_game(axis: Axes, condition: Condition) -> None:
    world, shapley = condition.world, condition.shapley
    limit = max(float(abs(shapley).max()), 1e-12)
    colours = ScalarMappable(Normalize(-limit, limit), signed_colours())
    _draw_cells(axis, world)
    for pair, value in zip(world.players, shapley, strict=True):
        y, x = pair.cell
        colour = colours.to_rgba(np.array(value))
        if pair.action == "stay":
            axis.add_patch(Circle((x, y), _RADIUS, facecolor=colour, edgecolor="#555555", lw=0.7, zorder=3))
            axis.text(x, y + 0.13, _signed(value), ha="center", va="top", fontsize=7, zorder=4)
            continue
        down, right = ACTIONS[pair.action]
        # Opposite moves keep to their own side, like traffic.
        side_x, side_y = -down * _SHIFT, right * _SHIFT
        tail = (x + right * 0.2 + side_x, y + down * 0.2 + side_y)
        head = (x + right * 0.72 + side_x, y + down * 0.72 + side_y)
        axis.add_patch(
            FancyArrowPatch(
                tail, head, arrowstyle="simple,head_width=9,head_length=8,tail_width=4.5", facecolor=colour,
                edgecolor="#555555", lw=0.6, shrinkA=0, shrinkB=0, zorder=3,
            )
        )  # fmt: skip
        middle = ((tail[0] + head[0]) / 2 + 1.15 * side_x, (tail[1] + head[1]) / 2 + 0.95 * side_y)
        axis.text(*middle, _signed(value), ha="center", va="center", fontsize=7, zorder=4, rotation=90 if down else 0)
    axis.set_title(f"{condition.title}:  v(all) = {condition.values[-1]:g}", pad=4)
    bar = axis.figure.colorbar(colours, ax=axis, shrink=0.75, pad=0.02, aspect=25)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.ax.tick_params(labelsize=7)


def _signed(value: float) -> str:
    return "0" if round(value, 2) == 0 else f"{value:+.2f}"


def _draw_cells(axis: Axes, world: World) -> None:
    for row in range(world.height):
        for column in range(world.width):
            special = (row, column) in (world.start, world.end)
            axis.add_patch(
                FancyBboxPatch(
                    (column - _CELL + 0.04, row - _CELL + 0.04), 2 * _CELL - 0.08, 2 * _CELL - 0.08,
                    boxstyle="round,pad=0.04", facecolor="#f3f3f3" if special else "#fafafa", edgecolor="#bbbbbb", lw=0.8,
                )
            )  # fmt: skip
    for (row, column), name in ((world.start, "start"), (world.end, "end")):
        axis.text(column - _CELL + 0.03, row - _CELL + 0.03, name, fontsize=7.5, ha="left", va="top", style="italic")
    axis.set_xlim(-0.55, world.width - 0.45)
    axis.set_ylim(world.height - 0.45, -0.55)
    axis.set_aspect("equal")
    axis.set_axis_off()

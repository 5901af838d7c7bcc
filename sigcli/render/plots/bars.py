"""Bars of signed values: what arrays get in place of a map. Red speaks for the score, blue against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from .panels import panels

_FOR, _AGAINST = "#c0392b", "#2b6ca3"
_NAMED = 30
"""Up to this many bars are all named; of more, the largest are, or those of a one-dimensional sample stand in order."""


@dataclass(frozen=True, eq=False)
class Bars:
    """The values of one method.

    Args:
        title: its name.
        names: names of the features or players.
        values: (n,), in `unit`.
        errors: (n,) standard errors, or None.
        unit: unit of the values.
        sample: (n,) the input, where it is a curve: one value for each bar, in order; else None.
    """

    title: str
    names: list[str]
    values: np.ndarray
    errors: np.ndarray | None
    unit: str
    sample: np.ndarray | None = None


def draw_bars(methods: Sequence[Bars], path: Path, *, title: str) -> None:
    """One panel for each method.

    Args:
        methods: their values; at least one.
        path: the PNG.
        title: title over all.
    """
    most = max(len(one.values) for one in methods)
    curve = most > _NAMED and all(one.sample is not None for one in methods)
    height = 2.6 if curve else 0.9 + 0.2 * min(most, _NAMED)
    rows = -(-len(methods) // 4)
    columns = 1 if curve else -(-len(methods) // rows)
    with panels(path, len(methods), size=(7.5 if curve else 4.4, height), columns=columns, title=title) as axes:
        for axis, one in zip(axes, methods, strict=True):
            if curve:
                _curve(axis, one)
            else:
                _named(axis, one)


def _colours(values: np.ndarray) -> list[str]:
    return [_FOR if value > 0 else _AGAINST for value in values]


def _named(axis: Axes, one: Bars) -> None:
    """Bars from top to bottom with their names; where there are too many, the largest in order of size."""
    chosen = np.arange(len(one.values))
    heading = one.title
    if len(chosen) > _NAMED:
        chosen = np.argsort(-np.abs(one.values), kind="stable")[:_NAMED]
        heading = f"{one.title}: the {_NAMED} largest of {len(one.values)}"
    places = np.arange(len(chosen))
    values = one.values[chosen]
    errors = None if one.errors is None else one.errors[chosen]
    axis.barh(places, values, xerr=errors, color=_colours(values), height=0.78, error_kw={"lw": 0.9, "capsize": 2})
    axis.set_yticks(places, [one.names[index] for index in chosen.tolist()], fontsize=8)
    axis.set_ylim(len(chosen) - 0.4, -0.6)
    axis.axvline(0, color="#888888", lw=0.7)
    axis.set_title(heading)
    axis.set_xlabel(one.unit)
    axis.grid(axis="y", visible=False)


def _curve(axis: Axes, one: Bars) -> None:
    """Bars in order, and the sample as a grey curve on a scale of its own."""
    if one.sample is None:
        return
    places = np.arange(len(one.values))
    behind = axis.twinx()
    behind.plot(places, one.sample, color="#8a8a8a", lw=1.1)
    behind.set_ylabel("input", color="#8a8a8a")
    behind.grid(visible=False)
    axis.set_zorder(behind.get_zorder() + 1)
    axis.patch.set_visible(False)
    axis.bar(places, one.values, color=_colours(one.values), width=1.0)
    if one.errors is not None:
        axis.fill_between(places, one.values - one.errors, one.values + one.errors, color="#333333", alpha=0.25, lw=0)
    limit = float(np.abs(one.values).max()) or 1.0
    axis.set_ylim(-1.1 * limit, 1.1 * limit)
    axis.axhline(0, color="#888888", lw=0.7)
    axis.set_title(one.title)
    axis.set_xlabel("index")
    axis.set_ylabel(one.unit)

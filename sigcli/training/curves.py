"""The curves of a training: accuracy on undamaged and damaged pictures, and the loss ([ICG] Fig. 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.ticker import FuncFormatter, NullFormatter

from ..render.plots.panels import cycle, panels
from .loop import Point

_NARROW = 30


def draw_curves(runs: Mapping[str, Sequence[Point]], path: Path, *, title: str) -> None:
    """Write loss and accuracy of some trainings against the number of batches, which has a logarithmic axis.

    Args:
        runs: name of a training (empty where there is one) → its points.
        path: the PNG.
        title: title above both panels.
    """
    with panels(path, 2, size=(4.6, 3.4), title=title) as (loss, accuracy):
        for colour, (name, points) in zip(cycle(len(runs)), runs.items(), strict=True):
            steps = [point.step for point in points]
            label = f"{name}, " if name else ""
            loss.plot(steps, [point.loss for point in points], color=colour, lw=1.6, label=name or None)
            accuracy.plot(
                steps, [100 * point.accuracy for point in points], color=colour, lw=1.8, label=f"{label}undamaged"
            )
            damaged = [(p.step, 100 * p.damaged) for p in points if p.damaged is not None]
            if damaged:
                accuracy.plot(*zip(*damaged, strict=True), color=colour, lw=1.4, ls="--", label=f"{label}damaged")
        for axis, heading, unit in ((loss, "training loss", "cross-entropy"), (accuracy, "held-out accuracy", "%")):
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_title(heading)
            axis.set_xlabel("batches")
            axis.set_ylabel(unit)
        loss.set_yscale("log")
        loss.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        low, high = loss.get_ylim()
        if high < _NARROW * low:  # over several decades the labels between powers of ten would lie on one another
            loss.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        else:
            loss.yaxis.set_minor_formatter(NullFormatter())
        accuracy.legend(loc="best")

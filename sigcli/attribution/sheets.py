"""Pictures of several explanations: all methods of one picture and target, all its targets, and what `plot` draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .. import render
from ..errors import UsageError, unknown
from ..render.shown import through_file
from .drawing import Drawing, done_of, picture_of
from .predictions import Prediction, percent

if TYPE_CHECKING:
    from .explanation import Explanation

_SAME = 1e-9
"""Two probabilities of one class are as near each other."""
_UNEVEN = 1.2
"""Players are of one size where the largest has at most so many times the pixels of the smallest: nobody sees more."""
_SCALES = {
    "own": " Each panel has its own scale.",
    "common": " Panels of one unit share one scale, the median of their own.",
}


def sheet(ready: Sequence[Explanation], drawing: Drawing, heading: str) -> Image.Image:
    """All methods of one picture and target, side by side."""
    first, picture = ready[0], picture_of(ready[0])
    lines, second = first.seen.beside(first)
    partitioned = next((item for item in ready if item.players is not None), None)
    return render.compare_image(
        picture,
        [_panel(item, drawing, partitioned) for item in ready],
        heading=heading,
        caption=drawing.caption(ready, ready[0].values.shape if ready[0].values is not None else picture.shape[:2])
        + (_fading(ready) if drawing.significant else "")
        + f"\n{coloured(ready, drawing)}{_SCALES[drawing.scale] if len(ready) > 1 else ''}{_sizes(ready)}",
        picture_lines=lines,
        second=second,
        ends=first.seen.ends,
        apart=drawing.signs == "apart",
        common=drawing.scale == "common",
        region=first.seen.region,
        answers=answers_of(first),
        palette=drawing.palette,
    )


def answers_of(item: Explanation, *, marked: bool = True) -> list[render.Answer]:
    """What the model says of the picture, for a sheet; the explained class stands out, and last if it is not likely."""
    found = [
        render.Answer(one.name, percent(one.probability), one.probability, not marked or _is_target(item, one))
        for one in item.predictions
    ]
    if marked and found and item.chance is not None and not any(one.explained for one in found):
        found.append(render.Answer(item.what(), percent(item.chance), item.chance, explained=True))
    return found


def _is_target(item: Explanation, answer: Prediction) -> bool:
    """Whether an answer is the class that is explained. A single output, number 0, has the answers no (0) and yes (1)."""
    if item.chance is None or abs(answer.probability - item.chance) > _SAME:
        return False
    return answer.index == item.target or (len(item.predictions) == 2 and answer.index == 1 and item.target == 0)


def coloured(ready: Sequence[Explanation], drawing: Drawing) -> str:
    """How the colours of a sheet are read, whichever they are."""
    told = reading(ready, drawing)
    plain = " Maps without negative values have the sequential colours instead, from 0 up: the brighter, the larger."
    return told if drawing.palette.plain is None else told + plain


def reading(ready: Sequence[Explanation], drawing: Drawing) -> str:
    """What the colours for positive and negative values say."""
    return drawing.palette.worded(_reading(ready))


def targets_sheet(ready: Sequence[Explanation], drawing: Drawing, heading: str) -> Image.Image:
    """All targets of one picture under one another, and of two their difference, by all methods."""
    first = ready[0]
    targets = list(dict.fromkeys(item.target for item in ready))
    methods = {item.method: item for item in ready}
    by = {(item.target, item.method): item for item in ready}
    rows = []
    for target in targets:
        maps = [None if (one := by.get((target, method))) is None else drawing.faded(one)[0] for method in methods]
        item = next(item for item in ready if item.target == target)
        rows.append(render.TargetRow(item.what(), _of_target(item), maps, item.seen.region))
    if len(targets) == 2:
        maps = [_difference(by.get((targets[0], method)), by.get((targets[1], method)), drawing) for method in methods]
        names = [row.name for row in rows]
        lines = (" − ".join(names), "on a scale of its own")
        rows.append(render.TargetRow("difference", lines, maps, ends=(f"for {names[1]}", f"for {names[0]}")))
    dressed = [render.TargetMethod(name, item.unit, item.ends, item.turned) for name, item in methods.items()]
    shape = first.values.shape if first.values is not None else picture_of(first).shape[:2]
    told = "The targets share one scale for each method."
    caption = f"{drawing.caption(list(methods.values()), shape)}\n{coloured(list(methods.values()), drawing)} {told}"
    return render.targets_image(
        picture_of(first), dressed, rows, heading=heading, caption=caption, answers=answers_of(first, marked=False),
        palette=drawing.palette,
    )  # fmt: skip


def _of_target(item: Explanation) -> list[str]:
    chance = "" if item.chance is None else percent(item.chance)
    return [line for line in (chance, f"{item.output} {item.score:.3g}") if line]


def _difference(one: Explanation | None, other: Explanation | None, drawing: Drawing) -> np.ndarray | None:
    """The map of one target less that of another, as it is shown; both are in one unit."""
    if one is None or other is None or one.values is None or other.values is None:
        return None
    return drawing.seen(one, one.values - other.values, picture_of(one))


def _fading(ready: Sequence[Explanation]) -> str:
    """What is faded in a sheet; nothing of methods without standard errors."""
    faded = [item.method for item in ready if item.deviations is not None]
    names = "" if len(faded) == len(ready) else f" ({', '.join(faded)})"
    return f"; faded where not significant, 95 %{names}" if faded else ""


def _sizes(ready: Sequence[Explanation]) -> str:
    """What players of several sizes do to their sums: a smooth map then shows the pattern of the patches."""
    told = []
    for item in ready:
        if item.players is not None:
            sizes = np.bincount(item.players.ravel())
            if sizes.max() > _UNEVEN * sizes.min():
                told.append(f"{f'{item.method}: ' if len(ready) > 1 else ''}{sizes.min()} to {sizes.max()} pixels")
    return f" Players differ in size ({'; '.join(told)}): larger ones have larger sums." if told else ""


def _reading(ready: Sequence[Explanation]) -> str:
    """How the colours of a sheet are read."""
    others = [item for item in ready if item.positive != "for"]
    told = [] if len(others) == len(ready) and others else [ready[0].seen.reading(ready[0].output)]
    for positive, what in (
        ("raises", "red is where a larger value of the input raises the score, blue where it lowers it"),
        ("against", "positive values speak against the target, so they are blue"),
        ("salient", "red marks what matters, whether for or against the target"),
    ):
        names = ", ".join(item.method for item in others if item.positive == positive)
        told += [f"Of {names}, {what}."] if names else []
    return " ".join(told)


def _panel(item: Explanation, drawing: Drawing, partitioned: Explanation | None) -> render.Panel:
    assert item.values is not None
    unit, shown = item.unit, drawing.faded(item)
    by_player, count, player_limit, note = _sums(item, drawing, partitioned)
    limit = None if shown[1] is None else render.symmetric_limit(drawing.seen(item, item.values, picture_of(item)))
    base = item.own_unit or (item.output if item.multiplied else unit)
    return render.Panel(
        item.method, shown[0], by_player, item.facts(), limit=limit, player_limit=player_limit,
        group=unit, unit=unit, player_unit=f"{base}, sum per player", player_group=count, player_note=note,
        ends=item.ends, turned=item.turned,
    )  # fmt: skip


def _sums(
    item: Explanation, drawing: Drawing, partitioned: Explanation | None
) -> tuple[np.ndarray | None, str, float | None, str]:
    """The sums of an explanation over its players, (H, W); what tells the partition, their limit, and whose players.

    Of a method without players of its own it is those of another method of the sheet.
    """
    own = item.players is not None
    players = item.players if own or partitioned is None else partitioned.players
    if players is None or item.values is None or players.shape != item.values.shape[-2:]:
        return None, "", None, ""
    # From the values as they are on disk, so no resumption shows others.
    totals = np.bincount(players.ravel(), item.values.astype(np.float64).sum(0).ravel())
    limit, part = float(np.abs(totals).max()), f", {len(totals)} players"
    if own:
        return drawing.faded_players(item, totals)[players], part, limit, ""
    return totals[players], part, limit, f"over the players of {partitioned.method}" if partitioned else ""


def with_values(item: Explanation) -> Explanation:
    """An explanation of an earlier run with its array."""
    if item.values is not None or not item.resumed or item.file is None or not item.file.is_file():
        return item
    values = np.load(item.file, allow_pickle=False)
    item = replace(item, seen=item.looked, look=None)
    return replace(item, values=values, players=item.players if item.sample is None else item.seen.players)


def plot_one(item: Explanation, path: str | Path | None) -> Image.Image:
    """See `Explanation.plot`."""
    item = with_values(item)
    if item.status != "ok" or item.values is None:
        reason = item.error or "its values are not in memory"
        raise UsageError(f"the explanation of {item.image} by {item.method} cannot be plotted: {reason}")
    return through_file(path, lambda file: item.seen.draw(item, file))


def plot_sheet(items: Sequence[Explanation], path: str | Path | None, scale: str) -> Image.Image:
    """See `Explanations.plot`."""
    if scale not in _SCALES:
        raise unknown("value of scale", scale, _SCALES)
    every = [item for item in map(with_values, done_of(items)) if item.values is not None]
    if not every:
        raise UsageError("no explanation can be plotted", hint="None succeeded, or their values are not in memory.")
    first = every[0]
    ready = [item for item in every if (item.image, item.target) == (first.image, first.target)]
    return through_file(path, lambda file: first.seen.draw_sheet(ready, Drawing(scale=scale), first.image, file))

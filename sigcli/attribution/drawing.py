"""Pictures of explanations: the map, the overlay, its signs, its standard errors, and the sheet over all methods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from .. import render
from ..errors import UsageError, unknown
from ..render.shown import through_file
from ..views import DEFAULT, View, parse, shown_error
from .significance import FADED, quantile, significant

if TYPE_CHECKING:
    from .explanation import Explanation

SIGNS = ("positive", "negative")
_SCALES = {
    "own": " Each panel has its own scale.",
    "common": " Panels of one unit share one scale, the median of their own.",
}


@dataclass(frozen=True)
class Drawing:
    """How maps are shown; arrays stay raw.

    Args:
        view: how they are looked at; an explanation that was made in a run says it itself.
        pictures: whether to draw at all.
        signs: "together", or "apart" for positive and negative values in pictures of their own as well.
        significant: whether values that cannot be told from 0 are faded, where their standard errors are known.
        scale: "own", or "common" for one scale of all maps of a unit in the sheet.
        saved: whether what pictures show is also written as arrays.
    """

    view: View = DEFAULT
    pictures: bool = True
    signs: str = "together"
    significant: bool = False
    scale: str = "own"
    saved: bool = False

    def faded(self, item: Explanation) -> tuple[np.ndarray, float | None]:
        """The map of an explanation as it is shown, (H, W), and t where values of fewer standard errors are faded."""
        if item.values is None:
            raise RuntimeError("an explanation without values is not drawn")
        picture = _picture(item)
        shown = self.seen(item, item.values, picture)
        if not self.significant or item.deviations is None:
            return shown, None
        flat = torch.from_numpy(render.reduce_channels(item.values))
        lens = self.of(item).at(flat.shape, picture)
        sure, wide = significant(lens, flat, torch.from_numpy(item.deviations).to(flat))
        return np.where(sure.numpy(), shown, FADED * shown), wide

    def faded_players(self, item: Explanation, totals: np.ndarray) -> np.ndarray:
        """The sums of an explanation's players, (n,); faded like the map where they cannot be told from 0."""
        if not self.significant or item.deviations is None or item.players is None:
            return totals
        place, apart = torch.from_numpy(item.players).long().flatten(), torch.from_numpy(item.deviations).double()
        of_each = apart.new_zeros(len(apart), len(totals)).index_add_(1, place, apart.flatten(1))
        sure = np.abs(totals) >= quantile(apart) * of_each.square().sum(0).sqrt().numpy()
        return np.where(sure, totals, FADED * totals)

    def of(self, item: Explanation) -> View:
        """The view of an explanation's map."""
        return parse(item.view) if item.view else self.view

    def seen(self, item: Explanation, values: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """A map (C, H, W) as it is shown: channels summed, through its view, (H, W) float64."""
        flat = torch.from_numpy(render.reduce_channels(values))
        return self.of(item).at(flat.shape, picture)(flat[None])[0].numpy()

    def caption(self, items: Sequence[Explanation], shape: tuple[int, ...]) -> str:
        """What was done to maps of that shape."""
        done: dict[str, list[str]] = {}
        for item in items:
            done.setdefault(self.of(item).describe(shape), []).append(item.method)
        told = list(done) if len(done) == 1 else [f"{what} ({', '.join(names)})" for what, names in done.items()]
        return render.describe("; ".join(told))


@dataclass(eq=False)
class Page:
    """An explanation that is being written, with what its pictures share.

    Args:
        item: with its values.
        drawing: how they are shown.
    """

    item: Explanation
    drawing: Drawing

    @property
    def values(self) -> np.ndarray:
        """The raw values; raises RuntimeError where there are none, for a page is made of those that succeeded."""
        if self.item.values is None:
            raise RuntimeError("an explanation without values is not drawn")
        return self.item.values

    @property
    def picture(self) -> np.ndarray:
        """What the model saw, uint8 (H, W, 3)."""
        return _picture(self.item)

    @cached_property
    def shown(self) -> np.ndarray:
        """(H, W), summed over channels and seen through the view; where that is asked for, faded where not significant."""
        return self._faded[0]

    @cached_property
    def _faded(self) -> tuple[np.ndarray, float | None]:
        return self.drawing.faded(self.item)

    @property
    def title(self) -> str:
        """What it is, in two lines."""
        item = self.item
        return "\n".join((f"{item.method}: {item.what()}", f"{item.image} · {' · '.join(item.facts()[0:2])}"))

    @cached_property
    def dress(self) -> dict[str, Any]:
        """What stands around the map."""
        item, wide = self.item, self._faded[1]
        caption = self.drawing.caption([item], self.values.shape)
        made = {"title": self.title, "unit": item.unit, "ends": item.ends, "turned": item.turned}
        made |= {} if item.seen.region is None else {"region": item.seen.region}
        if wide is None:
            return {**made, "caption": caption}
        # The scale is that of the map unfaded.
        limit = render.symmetric_limit(self.drawing.seen(item, self.values, self.picture))
        return {**made, "caption": f"{caption}; {_told(wide)}", "limit": limit}

    def heatmap(self) -> Image.Image:
        """The map with a scale."""
        return render.map_image(self.shown, **self.dress)

    def overlay(self) -> Image.Image:
        """The map over the picture."""
        return render.overlay_image(self.picture, self.shown, **self.dress)

    def signs(self) -> list[tuple[str, Image.Image]]:
        """Each sign alone over the picture, on the scale of both."""
        dress, found = self.dress, []
        limit = dress.get("limit", render.symmetric_limit(self.shown))
        for sign, part in zip(SIGNS, render.by_sign(self.shown), strict=True):
            only = {**dress, "caption": f"{sign} values only; {dress['caption']}", "limit": limit}
            found.append((sign, render.overlay_image(self.picture, part, **only)))
        return found

    @cached_property
    def error(self) -> np.ndarray | None:
        """The standard errors of the map as it is shown, (H, W), or None where they are not known."""
        apart = self.item.deviations
        if apart is None:
            return None
        flat = torch.from_numpy(render.reduce_channels(self.values))
        lens = self.drawing.of(self.item).at(flat.shape, self.picture)
        return shown_error(lens, flat, torch.from_numpy(apart).double())[0].numpy()

    def uncertainty(self) -> Image.Image | None:
        """The standard errors of the map as it is shown, as a picture, or None where they are not known."""
        error = self.error
        if error is None:
            return None
        dress = {name: value for name, value in self.dress.items() if name not in ("ends", "turned", "limit")}
        dress["caption"] = self.drawing.caption([self.item], self.values.shape)
        method = self.item.method
        dress["title"] = dress["title"].replace(f"{method}:", f"{method}, standard error:", 1)
        return render.uncertainty_image(error, **dress)


def _told(wide: float) -> str:
    """What is faded."""
    return f"faded: not significant (less than {wide:.3g} standard errors from 0, 95 %)"


def done_of(items: Iterable[Explanation]) -> list[Explanation]:
    """Those that succeeded."""
    return [item for item in items if item.status == "ok"]


def sheet(ready: Sequence[Explanation], drawing: Drawing, heading: str) -> Image.Image:
    """All methods of one picture and target, side by side."""
    first, picture = ready[0], _picture(ready[0])
    lines, second = first.seen.beside(first)
    return render.compare_image(
        picture,
        [_panel(item, drawing) for item in ready],
        heading=heading,
        caption=drawing.caption(ready, ready[0].values.shape if ready[0].values is not None else picture.shape[:2])
        + (_fading(ready) if drawing.significant else "")
        + f"\n{_reading(ready)}{_SCALES[drawing.scale] if len(ready) > 1 else ''}",
        picture_lines=lines,
        second=second,
        ends=first.seen.ends,
        apart=drawing.signs == "apart",
        common=drawing.scale == "common",
        region=first.seen.region,
    )


def _fading(ready: Sequence[Explanation]) -> str:
    """What is faded in a sheet; nothing of methods without standard errors."""
    faded = [item.method for item in ready if item.deviations is not None]
    names = "" if len(faded) == len(ready) else f" ({', '.join(faded)})"
    return f"; faded where not significant, 95 %{names}" if faded else ""


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


def _picture(item: Explanation) -> np.ndarray:
    if item.seen.picture is None:
        raise RuntimeError("an array has no picture to draw over")
    return item.seen.picture


def _panel(item: Explanation, drawing: Drawing) -> render.Panel:
    assert item.values is not None
    unit = item.unit
    by_player, partition, player_limit = None, "", None
    if item.players is not None:  # from the values as they are on disk, so no resumption shows others
        totals = np.bincount(item.players.ravel(), item.values.astype(np.float64).sum(0).ravel())
        player_limit = float(np.abs(totals).max())
        by_player, partition = drawing.faded_players(item, totals)[item.players], f", {len(totals)} players"
    shown, wide = drawing.faded(item)
    limit = None if wide is None else render.symmetric_limit(drawing.seen(item, item.values, _picture(item)))
    return render.Panel(
        item.method, shown, by_player, item.facts(), limit=limit, player_limit=player_limit,
        group=unit, unit=unit, player_unit=f"{item.output}, sum per player", player_group=partition,
        ends=item.ends, turned=item.turned,
    )  # fmt: skip


def _with_values(item: Explanation) -> Explanation:
    """An explanation of an earlier run with its array."""
    if item.values is not None or not item.resumed or item.file is None or not item.file.is_file():
        return item
    values = np.load(item.file, allow_pickle=False)
    item = replace(item, seen=item.looked, look=None)
    return replace(item, values=values, players=item.players if item.sample is None else item.seen.players)


def plot_one(item: Explanation, path: str | Path | None) -> Image.Image:
    """See `Explanation.plot`."""
    item = _with_values(item)
    if item.status != "ok" or item.values is None:
        reason = item.error or "its values are not in memory"
        raise UsageError(f"the explanation of {item.image} by {item.method} cannot be plotted: {reason}")
    return through_file(path, lambda file: item.seen.draw(item, file))


def plot_sheet(items: Sequence[Explanation], path: str | Path | None, scale: str) -> Image.Image:
    """See `Explanations.plot`."""
    if scale not in _SCALES:
        raise unknown("value of scale", scale, _SCALES)
    every = [item for item in map(_with_values, done_of(items)) if item.values is not None]
    if not every:
        raise UsageError("no explanation can be plotted", hint="None succeeded, or their values are not in memory.")
    first = every[0]
    ready = [item for item in every if (item.image, item.target) == (first.image, first.target)]
    return through_file(path, lambda file: first.seen.draw_sheet(ready, Drawing(scale=scale), first.image, file))

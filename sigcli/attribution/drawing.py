"""Pictures of explanations: the map, the overlay, its signs, its standard errors, and the sheet over all methods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from .. import render
from ..render.maps.palette import DEFAULT_NAME
from ..views import DEFAULT, View, parse, shown_error
from .significance import FADED, quantile, significant

if TYPE_CHECKING:
    from .explanation import Explanation

SIGNS = ("positive", "negative")


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
        bare: whether each map is also drawn alone.
        cmap: name of the colours, see `sigcli.render.palette`.
        gallery: whether the run has a page, for which small pictures are drawn.
    """

    view: View = DEFAULT
    pictures: bool = True
    signs: str = "together"
    significant: bool = False
    scale: str = "own"
    saved: bool = False
    bare: bool = False
    cmap: str = DEFAULT_NAME
    gallery: bool = True

    @property
    def palette(self) -> render.Palette:
        """The colours."""
        return render.palette(self.cmap)

    def faded(self, item: Explanation) -> tuple[np.ndarray, float | None]:
        """The map of an explanation as it is shown, (H, W), and t where values of fewer standard errors are faded."""
        if item.values is None:
            raise RuntimeError("an explanation without values is not drawn")
        picture = picture_of(item)
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
        return picture_of(self.item)

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
        made["palette"] = self.drawing.palette
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

    def bare(self) -> Image.Image:
        """The map alone at its own size, without a scale: (H, W) pixels."""
        dress = self.dress
        limit = dress.get("limit", render.symmetric_limit(self.shown))
        turned, size = self.item.turned, (self.shown.shape[1], self.shown.shape[0])
        table = self.drawing.palette.table(self.shown, turned=turned)
        return render.paint(-self.shown if turned else self.shown, limit, size, table=table)

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


def picture_of(item: Explanation) -> np.ndarray:
    """What the model saw, uint8 (H, W, 3)."""
    if item.seen.picture is None:
        raise RuntimeError("an array has no picture to draw over")
    return item.seen.picture

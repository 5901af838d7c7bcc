"""The small pictures that a run folder lacks, made from its arrays and photographs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import numpy as np

from ..errors import UsageError
from ..files import load_array
from ..methods import METHODS
from ..render import reduce_channels
from ..render.maps.palette import DEFAULT_NAME, Palette, palette
from ..views import RAW, View, parse
from .reading import Item, RunFiles
from .sources import Photographs, pictured
from .thumbnails import draw


def complete(run: RunFiles, progress: Callable[[int, int], None] | None = None) -> int:
    """Draw the small pictures that are not there; returns how many explanations have none, since their arrays are gone.

    Args:
        run: the run; its `thumbnails` are brought up to date.
        progress: called with how many images were looked at, and how many there are.
    """
    if not pictured(run.manifest):
        return 0
    photographs, without = Photographs(run.manifest), 0
    items = (item for item in run.items if item.row.get("status") == "ok")
    lacking = (item for item in items if item.names.map not in run.thumbnails)
    images = len({row["image"] for row in run.rows if row.get("status") == "ok"})
    for done, (image, each) in enumerate(groupby(lacking, key=lambda item: item.image), 1):
        picture: np.ndarray | None = None
        for number, item in enumerate(each):
            if number == 0:
                picture = photographs.seen(image, item.row.get("content", ""))
            without += not _draw(item, picture)
        if progress is not None:
            progress(done, images)
    return without


def _draw(item: Item, picture: np.ndarray | None) -> bool:
    """Draw the pictures of one explanation; whether there was an array to draw."""
    values = array_of(item)
    if values is None:
        return False
    lens = _view(item).at(values.shape, picture)
    shown, turned = seen(lens, values), _turned(item)
    draw(item.run.path, item.names, shown, picture, turned=turned, table=_palette(item).table(shown, turned=turned))
    names = item.names
    item.run.thumbnails.update((names.map, *((names.overlay, names.photo) if picture is not None else ())))
    return True


def seen(lens: Callable, values: np.ndarray) -> np.ndarray:
    """A map (H, W) through a view."""
    import torch

    return lens(torch.from_numpy(values)[None])[0].numpy()


def array_of(item: Item) -> np.ndarray | None:
    """The map (H, W) of an explanation, channels summed; None where its array is absent, damaged or not finite."""
    try:
        values = None if item.array is None else load_array(item.array)
    except (OSError, ValueError):
        return None
    if values is None or values.ndim != 3 or not values.size or not np.isfinite(values).all():
        return None
    return reduce_channels(values)


def _view(item: Item) -> View:
    """How its pictures show it, as its row tells; regions, which need the photograph, are not drawn small."""
    try:
        view = parse(item.row.get("view") or "raw")
    except UsageError:  # of another version
        return RAW
    return parse("multi") if view.needs_picture else view


def _palette(item: Item) -> Palette:
    """The colours of its run; red and blue where it does not tell, or tells of unknown ones."""
    try:
        return palette(str(item.run.manifest.get("cmap", DEFAULT_NAME)))
    except UsageError:  # of another version
        return palette()


def _turned(item: Item) -> bool:
    """Whether positive values of its method are blue."""
    methods = item.run.manifest.get("spec", {}).get("methods", {})
    facts = methods.get(item.row["method"]) if isinstance(methods, dict) else None
    name = str(facts.get("method")) if isinstance(facts, dict) else ""
    return name in METHODS and METHODS[name].properties.get("positive") == "against"

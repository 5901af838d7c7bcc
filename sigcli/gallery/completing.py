"""The small pictures that a run folder lacks, made from its arrays and photographs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

import numpy as np

from ..errors import UsageError
from ..files import array_shape, load_array
from ..render import reduce_channels
from ..views import RAW, View, parse
from .colours import palette_of, positive_of
from .reading import Item, RunFiles
from .sources import Photographs, pictured
from .thumbnails import draw, is_large


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
    lacking = (item for item in items if _lacks(item))
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
    manifest = item.run.manifest
    shown, turned = seen(lens, values), positive_of(manifest, item.row["method"]) == "against"
    table = palette_of(manifest).table(shown, turned=turned)
    item.run.thumbnails.update(draw(item.run.path, item.names, shown, picture, turned=turned, table=table))
    return True


def _lacks(item: Item) -> bool:
    """Whether a picture of an explanation is missing; a large one only where its map is larger than the small one."""
    there = item.run.thumbnails
    if item.names.map not in there:
        return True
    if item.array is None or item.names.large.map in there:
        return False
    try:
        return is_large(array_shape(item.array)[-2:])
    except (OSError, ValueError):  # damaged: its small picture stands
        return False


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

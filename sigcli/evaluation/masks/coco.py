"""Objects of a JSON file as COCO has them: images, annotations and categories; polygons, run lengths or boxes."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from skimage.draw import polygon2mask

from ...errors import AttributionError, SigError, UsageError
from ...inputs.refused import MAX_PIXELS
from .areas import Areas
from .boxes import drawn
from .meaning import some
from .rle import decoded
from .source import Source
from .wanted import ANY, Wanted

_FORM = "COCO's form: images with id and file_name, annotations with image_id, category_id and segmentation"
_WAY_OUT = "Name the object: --mask-class CATEGORY (name or id; several with commas, or any)."
Record = Mapping[str, Any]


class Coco(Source):
    """The annotations of a JSON file, by the image's file name.

    An annotation with `iscrowd` marks a region where single objects were not told apart; as COCO's own evaluation does,
    that region is left out.

    Raises:
        UsageError: a JSON file of something else, or that contradicts itself.
    """

    word = "annotation of"

    def __init__(self, path: Path):
        self.path = path
        content = _read(path)
        self._images: dict[str, Record] = {}
        for image in content["images"]:
            name = str(image["file_name"])
            if self._images.setdefault(name, image) is not image:
                raise UsageError("the file has an image twice", given=f"{path.name}: {name}")
        self._categories = {one["id"]: str(one.get("name", one["id"])) for one in content.get("categories") or ()}
        self._annotations: dict[Any, list[Record]] = defaultdict(list)
        for one in content["annotations"]:
            self._annotations[one["image_id"]].append(one)
        lost = self._annotations.keys() - {image["id"] for image in self._images.values()}
        if lost:
            raise UsageError(
                "annotations of images that the file does not list",
                given=f"{path.name}: image_id {some(sorted(map(str, lost)))}",
            )
        self.names = list(self._images)
        self._chosen: set[Any] = set()

    def judge(self, names: Sequence[str], wanted: Wanted) -> tuple[list[str], dict[str, SigError]]:
        """Choose the categories that are the object."""
        if wanted.void is not None:
            raise UsageError("--mask-void is for the values of mask files", given=self.path, hint="Leave it out.")
        here = [one for name in names for one in self._of(name)]
        there = {one["category_id"] for one in here}
        self._chosen = there if wanted.classes == ANY else self._named(wanted, there)
        if wanted.classes is None and len(there) > 1:
            raise UsageError("the objects are of several categories", given=self._said(there), hint=_WAY_OUT)
        chosen = [one for one in here if one["category_id"] in self._chosen]
        text = f"category {self._said(self._chosen)} is the object"
        crowds = sum(bool(one.get("iscrowd")) for one in chosen)
        if crowds:
            text += f"; {crowds} crowd regions are void, left out of object and ground"
        boxes = sum(not one.get("segmentation") for one in chosen)
        if boxes:
            text += f"; {boxes} of {len(chosen)} objects have a box only, which stands for them"
        return [text], {}

    def _named(self, wanted: Wanted, there: set[Any]) -> set[Any]:
        if wanted.classes is None:
            return there
        known = {*self._categories, *there}
        found: set[Any] = set()
        for text in wanted.classes:
            by_name = {one for one in known if self._categories.get(one) == text}
            by_id = {one for one in known if str(one) == text}
            if len(by_name | by_id) > 1:
                raise UsageError("a class is the name of one category and the id of another", given=text)
            if not by_name | by_id:
                raise UsageError(f"no category is called so in {self.path.name}", given=text, allowed=self._said(known))
            found |= by_name | by_id
        return found

    def _said(self, ids: set[Any]) -> str:
        named = sorted(f"{self._categories.get(one, '')} ({one})".strip() for one in ids)
        return some(named, 24) if named else "none"

    def _of(self, name: str) -> list[Record]:
        return self._annotations.get(self._images[name]["id"], [])

    def areas(self, name: str, size: tuple[int, int]) -> Areas:
        """Object and void of one image, of the size that the file states, else of the picture's.

        Raises:
            AttributionError: an annotation that cannot be drawn.
        """
        image = self._images[name]
        size = (image.get("height") or size[0], image.get("width") or size[1])
        inside, void = np.zeros(size, bool), np.zeros(size, bool)
        for one in self._of(name):
            if one["category_id"] in self._chosen:
                area = void if one.get("iscrowd") else inside
                area |= _drawn(one, size, f"annotation {one.get('id', '')} of {name}")
        void &= ~inside
        return Areas(inside, void if void.any() else None)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"the file of objects cannot be read: {error}", given=path) from error
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in ("images", "annotations")):
        raise UsageError("the file of objects is not COCO's", given=path, allowed=_FORM)
    wanted = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id"), "categories": ("id",)}
    for part, keys in wanted.items():
        every = content.get(part) or []
        if not isinstance(every, list):
            raise UsageError(f"{part} of the file of objects are no list", given=path, allowed=_FORM)
        for one in every:
            if not isinstance(one, dict) or not all(isinstance(one.get(key), (str, int)) for key in keys):
                raise UsageError(f"{part} of the file of objects lack {', '.join(keys)}", given=path, allowed=_FORM)
    for one in content["images"]:
        _check_size(one, path)
    return content


def _check_size(image: Record, path: Path) -> None:
    """Raise UsageError for an image whose stated size is none; it may state none."""
    size = [image.get(side) or 0 for side in ("height", "width")]
    if not all(type(side) is int and side >= 0 for side in size) or math.prod(size) > MAX_PIXELS:
        given = f"{path.name}: {image['file_name']}: height {size[0]}, width {size[1]}"
        raise UsageError(
            "an image of the file of objects has no size that a picture can have", given=given,
            allowed=f"integers, up to {MAX_PIXELS / 1e6:g} million pixels",
        )  # fmt: skip


def _drawn(one: Record, size: tuple[int, int], told: str) -> np.ndarray:
    """An annotation as a mask: its polygons, its run lengths, else its box."""
    shape = one.get("segmentation")
    try:
        if isinstance(shape, Mapping):
            if [*shape["size"]] != [*size]:
                raise ValueError(f"its run lengths are of {shape['size'][1]}x{shape['size'][0]} pixels")
            return decoded(shape["counts"], size)
        if shape:
            return np.logical_or.reduce([polygon(part, size) for part in shape])
        x, y, wide, high = map(float, one["bbox"])
        return drawn([(x, y, x + wide, y + high)], size)
    except (KeyError, TypeError, ValueError, IndexError, AttributionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise AttributionError(f"{told} cannot be drawn: {reason}") from error


def polygon(edges: Sequence[float], size: tuple[int, int]) -> np.ndarray:
    """The pixels whose centre lies in a polygon, bool (H, W).

    Args:
        edges: x, y, x, y, … of its corners; pixel (0, 0) reaches from 0 to 1.
        size: (H, W).

    Raises:
        ValueError: fewer than three corners, or what is no number.

    >>> polygon([1, 0, 3, 0, 3, 1, 1, 1], (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 0, 0, 0]]
    """
    corners = np.array(edges, float)
    if corners.ndim != 1 or len(corners) < 6 or len(corners) % 2 or not np.isfinite(corners).all():
        raise ValueError("a polygon needs three corners or more, two numbers each")
    return polygon2mask(size, corners.reshape(-1, 2)[:, ::-1] - 0.5)

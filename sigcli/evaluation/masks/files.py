"""What a mask's file holds, before anyone says what it means: black and white, grey levels or class numbers, or colours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

from ...errors import ImageError
from ...files import load_array
from ...inputs.images import decode
from ...inputs.levels import LIGHT, between
from ...inputs.picture import upright

BINARY, NUMBERS, PALETTE, COLOURS = "binary", "numbers", "palette", "colours"
"""Kinds of values: object or not; grey levels or class numbers; class numbers with a colour each; colours 0xRRGGBB."""
VOIDS = (255, 65535)
_LOSSY = ("JPEG", "MPO", "JPEG2000", "WEBP", "AVIF")
_NOISE = 8
"""Difference of channels up to which a lossy file is grey."""
_THICK = 7
_FLAT = 4
"""A cut-out of so few colours may be a map of classes."""


@dataclass(frozen=True, eq=False)
class Raw:
    """The values of one mask.

    Args:
        values: (H, W) bool of a binary mask, else int64.
        kind: of the values.
        colours: value → colour 0xRRGGBB of a palette, of the values that occur.
        lossy: the format changes values a little.
        cut_out: the values are the alpha channel's.
        opaque: there is an alpha channel, which hides nothing.
    """

    values: Shaped[np.ndarray, "h w"]
    kind: str
    colours: dict[int, int] = field(default_factory=dict)
    lossy: bool = False
    cut_out: bool = False
    opaque: bool = False


def read_raw(path: Path) -> Raw:
    """The values of a mask's file: an image, or an array `.npy`.

    Raises:
        ImageError: it cannot be read, or its form alone shows that it is no mask or that it can be read in two ways.
    """
    if path.suffix.lower() == ".npy":
        return _of_array(_loaded(path), path)
    return decode(path, lambda image: _of_image(image, path))


def solid(levels: np.ndarray) -> tuple[int, int]:
    """How many pixels are light, and how many of them belong to squares of seven pixels: of a thin border none does."""
    light = levels >= LIGHT
    opened = np.asarray(maximum_filter(minimum_filter(light, _THICK, mode="constant"), _THICK), bool)
    return int(light.sum()), int((opened & light).sum())


def _loaded(path: Path) -> np.ndarray:
    try:
        return load_array(path)
    except (OSError, ValueError) as error:
        raise ImageError(f"the array cannot be read: {' '.join(str(error).split())}", given=path) from error


def _of_array(array: np.ndarray, path: Path) -> Raw:
    form = f"{path} of {array.dtype}, shape {array.shape}"
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[-1] in (3, 4) and min(array.shape[:2]) > 4:
        return _of_image(Image.fromarray(array), path)
    array = array[0] if array.ndim == 3 and len(array) == 1 else array
    array = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    if array.ndim != 2 or not array.size or array.dtype.kind not in "biuf":
        raise ImageError("the array is no mask", given=form, hint="A mask is (H, W), bool or class numbers.")
    if array.dtype.kind == "b":
        return Raw(array, BINARY)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise ImageError("the mask holds NaN or infinity", given=form)
        if (array != array.round()).any():
            raise ImageError(
                "the mask holds fractions, of which sig does not know where the object ends", given=form,
                hint="Save it as true and false, for example mask > 0.5.",
            )  # fmt: skip
    return _numbers(array.astype(np.int64))


def _of_image(image: Image.Image, path: Path) -> Raw:
    if getattr(image, "n_frames", 1) > 1:
        raise ImageError("a mask of several frames", given=path, hint="Save the mask of the image alone.")
    lossy, shift = image.format in _LOSSY, _shift(path) if image.mode == "L" else 1
    image = upright(image)
    opaque = False
    if image.has_transparency_data:
        seen = np.asarray(image.convert("RGBA"))
        if seen[..., 3].min() < 255:
            return _cut_out(seen, path)
        opaque = True
    mode = image.mode
    if mode == "1":
        return Raw(np.asarray(image), BINARY)
    if mode == "F":
        return _of_array(np.asarray(image), path)
    if mode == "I" or mode.startswith("I;16"):
        return _numbers(np.asarray(image).astype(np.int64))
    if mode in ("P", "PA"):
        return _of_palette(image, opaque=opaque)
    if mode in ("L", "LA"):
        grey = np.asarray(image if mode == "L" else image.getchannel(0))
        return _numbers(grey.astype(np.int64) // shift, lossy=lossy, opaque=opaque)
    return _of_colours(np.asarray(image.convert("RGB")), lossy=lossy, opaque=opaque)


def _numbers(values: np.ndarray, **facts: Any) -> Raw:
    """Grey levels or class numbers; the white of 16 bits becomes that of 8 where there is nothing but black and white."""
    if values.max() == 65535 and ((values == 0) | (values == 65535)).all():
        values = values // 257
    return Raw(values, NUMBERS, **facts)


def _shift(path: Path) -> int:
    """What Pillow multiplies the greys of a PNG of 2 or 4 bits by: its class numbers are not what it shows."""
    with path.open("rb") as stream:
        head = stream.read(26)
    if head[:4] != b"\x89PNG" or head[25] != 0:
        return 1
    return {2: 85, 4: 17}.get(head[24], 1)


def _of_palette(image: Image.Image, *, opaque: bool) -> Raw:
    indices = np.asarray(image)
    indices = (indices if indices.ndim == 2 else indices[..., 0]).astype(np.int64)
    shown = np.asarray(image.convert("RGBA")).astype(np.int64)
    packed = (shown[..., 0] << 16) | (shown[..., 1] << 8) | shown[..., 2]
    used, where = np.unique(indices, return_index=True)
    colours = {int(one): int(packed.ravel()[at]) for one, at in zip(used, where, strict=True)}
    if all(colour == one * 0x010101 for one, colour in colours.items()):  # a grey picture that is saved with a palette
        return Raw(indices, NUMBERS, opaque=opaque)
    return Raw(indices, PALETTE, colours, opaque=opaque)


def _of_colours(shown: np.ndarray, *, lossy: bool, opaque: bool) -> Raw:
    wide = shown.astype(np.int64)
    if int((wide.max(-1) - wide.min(-1)).max()) <= (_NOISE if lossy else 0):
        return _numbers(wide.sum(-1) // 3, lossy=lossy, opaque=opaque)
    return Raw((wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2], COLOURS, lossy=lossy, opaque=opaque)


def _cut_out(seen: np.ndarray, path: Path) -> Raw:
    """The object of a cut-out is what can be seen of it."""
    alpha = seen[..., 3]
    levels = np.unique(alpha)
    if len(levels) == 1 and levels[0]:
        raise ImageError("all of the mask is half transparent", given=path)
    inside = _visible(alpha, levels)
    if inside is None:
        raise ImageError("the mask's transparency has levels without a clear edge", given=path)
    colours = np.unique(seen[inside][:, :3], axis=0)
    if 1 < len(colours) <= min(_FLAT, int(inside.sum()) // 8):
        raise ImageError(
            f"the mask is partly transparent, and what can be seen has {len(colours)} colours: object may be one of them "
            "or all", given=path, hint="Save the object as white on black.",
        )  # fmt: skip
    return Raw(inside, BINARY, cut_out=True)


def _visible(alpha: np.ndarray, levels: np.ndarray) -> Bool[np.ndarray, "h w"] | None:
    if len(levels) == 1 or (len(levels) == 2 and not levels[0]):
        return alpha > 0
    return alpha > 127 if between(alpha) else None

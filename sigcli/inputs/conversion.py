"""From an image of Pillow to upright 8-bit RGB, whatever its depth, transparency and container."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from ..errors import ImageError
from ..places.remote import Remote
from .picture import orientation, turned

TRANSPARENT = "transparent in places, laid on white"
OPAQUE = "taken as opaque, since the alpha channel of the bitmap is 0 everywhere"
FRAMES = "of several frames or pages, of which the first is taken"
DARK = "nearly black: 16-bit greys are scaled from 0..65535, and these end at 4095 or below"
EXTRA = "of more channels than colours, of which the further ones are left out"
PROFILE = "with a colour profile other than sRGB, which is ignored as torchvision ignores it"

_WITHOUT_ALPHA = ("BMP", "DIB", "TGA", "ICO")
"""Containers whose fourth byte programs leave at 0 in pictures without transparency, and readers then ignore."""
_GREY_KEYS = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies greys of 2 and 4 bits by."""
_BITS, _PHOTOMETRIC, _CHANNELS, _FORMAT = 258, 262, 277, 339
_WHITE_IS_ZERO, _SIGNED = 0, 2
_TWELVE_BITS = 4095
_BAND = 1 << 22
"""Pixels that are converted at a time, so a large picture is not held in several forms at once."""
_SRGB = ("c2", "c2ci", "uRGB")
"""Small profiles of sRGB that do not say so."""


def settle_key(image: Image.Image, path: Path | Remote | None = None) -> None:
    """Bring the one transparent grey of a PNG to the scale of its pixels; before they are loaded, in place.

    Pillow leaves the number as it stands in the file, and scales greys of 2 and 4 bits to 8. Of 16-bit colours it drops
    the lower bits, so that it cannot be known which pixels have the transparent one.

    Raises:
        ImageError: colours of 16 bits, one of which is transparent.
    """
    tiles = getattr(image, "tile", None)
    form, key = (tiles[0][3] if tiles else ""), image.info.get("transparency")
    if image.format != "PNG" or not isinstance(form, str) or key is None:
        return
    if form in _GREY_KEYS and isinstance(key, int):
        image.info["transparency"] = key * _GREY_KEYS[form]
    elif form.startswith("RGB;16"):
        raise ImageError(
            "one 16-bit colour of the image is transparent, and Pillow does not tell which pixels have it", given=path,
            hint="Save it with 8 bits per channel, or with an alpha channel.",
        )  # fmt: skip


def rgb(
    image: Image.Image, container: str | None, path: Path | Remote | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Upright 8-bit RGB of an image of Pillow, uint8 (H, W, 3), and what was assumed of it, in the words above.

    Args:
        image: the image whose pixels are loaded.
        container: its format, as Pillow names it.
        path: path of its file, for the message.

    Raises:
        ImageError: 32-bit or signed pixels, or an image that is transparent everywhere.
    """
    facts = [PROFILE] if _other_profile(image) else []
    facts += [EXTRA] if _further_channels(image) else []
    grey = _wide(image, container, path, facts)
    turn = orientation(image)
    if grey is not None:
        flat = turned(Image.fromarray(grey), turn)
        pixels = _coloured(flat, white=False)
    else:
        white = _has_ground(image, container, path, facts)
        pixels = _coloured(turned(image, turn), white=white)
    facts += [FRAMES] if _frames(image, container) else []
    return pixels, tuple(facts)


def _bands(size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """First row and the one after the last of bands of a picture of size (W, H).

    >>> list(_bands((1 << 21, 5)))
    [(0, 2), (2, 4), (4, 5)]
    """
    wide, high = size
    step = max(1, _BAND // wide)
    for top in range(0, high, step):
        yield top, min(high, top + step)


def _coloured(image: Image.Image, *, white: bool) -> np.ndarray:
    """RGB of an image, uint8 (H, W, 3), with what is transparent laid on white or taken as opaque."""
    found = np.empty((image.height, image.width, 3), np.uint8)
    for top, end in _bands(image.size):
        part = image.crop((0, top, image.width, end))
        if white:
            front = part.convert("RGBA")
            part = Image.alpha_composite(Image.new("RGBA", front.size, (255, 255, 255, 255)), front)
        elif part.mode != "RGB" and image.has_transparency_data:
            part = part.convert("RGBA")
        found[top:end] = np.asarray(part if part.mode == "RGB" else part.convert("RGB"))
    return found


def _wide(image: Image.Image, container: str | None, path: Path | Remote | None, facts: list[str]) -> np.ndarray | None:
    """Greys of 12 or 16 bits as uint8 (H, W), scaled and not clipped; None where pixels have 8 bits."""
    tags: Any = getattr(image, "tag_v2", {})
    bits = _first(tags.get(_BITS, 16))
    if _first(tags.get(_FORMAT, 1)) == _SIGNED and bits < 32:
        raise _undefined("signed pixels", path)
    if not image.mode.startswith("I;16") and not (image.mode == "I" and container in ("PNG", "PPM")):
        if image.mode in ("I", "F"):
            raise _undefined(f"32-bit pixels (mode {image.mode})", path)
        return None
    most = 2**bits - 1
    levels = np.asarray(image)
    if most > _TWELVE_BITS and 0 < levels.max() <= _TWELVE_BITS:
        facts.append(DARK)
    key = image.info.get("transparency")
    inverted = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO  # Pillow inverts such greys of 8 bits, and not those of more
    found, clear = np.empty(levels.shape, np.uint8), False
    for top, end in _bands(image.size):
        wide = levels[top:end].astype(np.int64).clip(0, most)
        own = wide == key if isinstance(key, int) else np.zeros(wide.shape, bool)
        clear |= bool(own.any())
        grey = (((most - wide if inverted else wide) * 255 + most // 2) // most).astype(np.uint8)
        found[top:end] = np.where(own, np.uint8(255), grey)
    if clear:
        facts.append(TRANSPARENT)
    return found


def _first(tag: Any) -> int:
    """The value of a tag for the first channel."""
    return int(tag[0] if isinstance(tag, tuple) else tag)


def _undefined(what: str, path: Path | Remote | None) -> ImageError:
    hint = "Save it with unsigned 8 or 16 bits per channel."
    return ImageError(f"the image has {what}, whose range is not defined", given=path, hint=hint)


def _has_ground(image: Image.Image, container: str | None, path: Path | Remote | None, facts: list[str]) -> bool:
    """Whether an image is transparent in places, and so has to be laid on white."""
    if not image.has_transparency_data:
        return False
    low, high = 255, 0
    for top, end in _bands(image.size):
        part = np.asarray(image.crop((0, top, image.width, end)).convert("RGBA").getchannel("A"))
        low, high = min(low, int(part.min())), max(high, int(part.max()))
    if high == 0:
        if container not in _WITHOUT_ALPHA:
            hint = "Save it without its alpha channel, or leave it out."
            raise ImageError("the image is transparent everywhere", given=path, hint=hint)
        facts.append(OPAQUE)
        return False
    if low < 255:
        facts.append(TRANSPARENT)
    return low < 255


def _further_channels(image: Image.Image) -> bool:
    """Whether a TIFF holds channels, such as infrared, that Pillow passes over: it takes the colours and their alpha."""
    tags: Any = getattr(image, "tag_v2", {})
    return _first(tags.get(_CHANNELS, 1)) > len(image.getbands())


def _frames(image: Image.Image, container: str | None) -> bool:
    """Whether there are more frames; the further ones of a JPEG (MPO) are previews, depth or light."""
    with contextlib.suppress(Exception):  # a further frame may be damaged
        return container != "MPO" and bool(getattr(image, "is_animated", False))
    return False


def _other_profile(image: Image.Image) -> bool:
    """Whether the image brings a profile of colours that are not sRGB's."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or profile[16:20] not in (b"RGB ", b"CMYK"):
        return False
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except Exception:  # noqa: BLE001  a damaged profile, or a Pillow without littlecms: no reader follows it
        return False
    return "srgb" not in name.lower() and name not in _SRGB

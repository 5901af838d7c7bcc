"""From an image of Pillow to upright 8-bit RGB, whatever its depth, transparency and container."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from ..errors import ImageError
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
_SRGB = ("c2", "c2ci", "uRGB")
"""Small profiles of sRGB that do not say so."""


def settle_key(image: Image.Image, path: Path | None = None) -> None:
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


def rgb(image: Image.Image, container: str | None, path: Path | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
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
    flat = _laid(image, container, path, facts) if grey is None else Image.fromarray(grey)
    facts += [FRAMES] if _frames(image, container) else []
    return np.array(turned(flat, orientation(image)).convert("RGB")), tuple(facts)


def _wide(image: Image.Image, container: str | None, path: Path | None, facts: list[str]) -> np.ndarray | None:
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
    wide = np.asarray(image).astype(np.int64).clip(0, most)
    if most > _TWELVE_BITS and 0 < wide.max() <= _TWELVE_BITS:
        facts.append(DARK)
    key = image.info.get("transparency")
    clear = wide == key if isinstance(key, int) else np.zeros(wide.shape, bool)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow inverts such greys of 8 bits, and not those of more
        wide = most - wide
    grey = ((wide * 255 + most // 2) // most).astype(np.uint8)
    if clear.any():
        facts.append(TRANSPARENT)
    return np.where(clear, np.uint8(255), grey)


def _first(tag: Any) -> int:
    """The value of a tag for the first channel."""
    return int(tag[0] if isinstance(tag, tuple) else tag)


def _undefined(what: str, path: Path | None) -> ImageError:
    hint = "Save it with unsigned 8 or 16 bits per channel."
    return ImageError(f"the image has {what}, whose range is not defined", given=path, hint=hint)


def _laid(image: Image.Image, container: str | None, path: Path | None, facts: list[str]) -> Image.Image:
    """Transparency laid on white."""
    if not image.has_transparency_data:
        return image
    front = image.convert("RGBA")
    alpha = np.asarray(front)[..., 3]
    if alpha.max() == 0:
        if container not in _WITHOUT_ALPHA:
            hint = "Save it without its alpha channel, or leave it out."
            raise ImageError("the image is transparent everywhere", given=path, hint=hint)
        facts.append(OPAQUE)
        return front.convert("RGB")
    if alpha.min() < 255:
        facts.append(TRANSPARENT)
    white = Image.new("RGBA", front.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, front)


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

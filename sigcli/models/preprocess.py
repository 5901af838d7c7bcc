"""Pixels to network input: resize, crop and normalise as torchvision's classification presets do with Pillow."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sigcli.errors import ImageError, UsageError
from sigcli.inputs.refused import MAX_PIXELS

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Size = int | tuple[int, int]
COVER = "cover"
"""Resizing that just fills the crop: the longer side, relative to the crop's, is what is cut off."""
LARGEST = 4096
FILTERS = {
    "nearest": Image.Resampling.NEAREST, "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING, "lanczos": Image.Resampling.LANCZOS,
}  # fmt: skip
"""Interpolations by the names that torchvision has for them. Its own module takes two seconds to import."""


@dataclass(frozen=True)
class Preprocess:
    """How pixels become the network's input. Resizing is Pillow's, which always filters (antialiases).

    Args:
        resize: the shorter side in pixels; a pair (h, w) stretches to exactly that; "cover" scales so that the crop is just
            filled; None leaves the size alone.
        crop: side (or (h, w)) of the central crop, padded with black where the image is smaller; None takes all.
        mean: per channel, in units where a pixel is 0..1; one value for grey networks, three for RGB.
        std: per channel, in the same units.
        interpolation: `bilinear`, `bicubic`, `nearest`, `lanczos`, `box` or `hamming`.
        cover: (h, w) that "cover" fills instead of the crop.

    >>> import numpy as np
    >>> ready = Preprocess(resize=8, crop=6)
    >>> tuple(ready(np.zeros((20, 10, 3), np.uint8)).shape)
    (3, 6, 6)
    """

    resize: Size | str | None = 256
    crop: Size | None = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"
    cover: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for option, size in (("resize", self.resize), ("crop", self.crop)):
            if size is not None and not isinstance(size, str) and min(_pair(size)) < 1:
                raise UsageError(f"--{option} must be at least 1 pixel", given=size)
        if len(self.mean) != len(self.std) or self.channels not in (1, 3):
            raise UsageError(
                "--mean and --std do not fit together",
                given=f"{self.mean} and {self.std}",
                allowed="1 or 3 numbers each",
            )
        if min(self.std) <= 0:
            raise UsageError("--std must be above zero", given=self.std)

    def __call__(self, pixels: np.ndarray) -> Tensor:
        """Normalise one picture: uint8 (H, W, 3) → float32 (C, h, w).

        A float array (C, h, w) is the network's input already, given by a program, and is taken as it is; raises ImageError
        where the network takes another shape.
        """
        if pixels.dtype.kind == "f":
            return torch.from_numpy(self._ready(pixels))
        image = self._geometry(pixels)
        values = torch.from_numpy(np.array(image)).reshape(image.height, image.width, -1).permute(2, 0, 1)
        return values.float().div(255).sub(self._column(self.mean)).div(self._column(self.std)).contiguous()

    def display(self, pixels: np.ndarray) -> np.ndarray:
        """What the network sees, as a picture: uint8 (H, W, 3) → uint8 (h, w, 3), grey networks in grey.

        Of a float array, which is the network's input, the mean and standard deviation are taken back; what lies outside the
        range of pixels is clipped.
        """
        if pixels.dtype.kind == "f":
            seen = self.denormalise(torch.from_numpy(self._ready(pixels))).clamp(0, 1).mul(255).round().byte()
            return seen.permute(1, 2, 0).expand(-1, -1, 3).numpy().copy()
        return np.array(self._geometry(pixels).convert("RGB"))

    def denormalise(self, images: Tensor) -> Tensor:
        """Back to 0..1: (..., C, h, w) → the same shape."""
        return images * self._column(self.std).to(images) + self._column(self.mean).to(images)

    def area(self, mask: np.ndarray) -> np.ndarray:
        """An area of a picture as the network sees it: bool (H, W) → bool (h, w), resized to the nearest and cropped."""
        plain = replace(self, mean=(0.0,) * self.channels, std=(1.0,) * self.channels, interpolation="nearest")
        return (plain(np.repeat(np.uint8(255) * mask[..., None], 3, 2))[0] > 0.5).numpy()

    def landing(self, x: int, y: int, size: tuple[int, int]) -> tuple[int, int] | None:
        """(column, row) where the network sees pixel (x, y) of a picture of size (H, W); None where it is cropped away."""
        high, wide = self.resized(size)
        column, row = int((x + 0.5) * wide / size[1]), int((y + 0.5) * high / size[0])
        if self.crop is not None:
            crop = _pair(self.crop)
            row, column = row - _start(high, crop[0]), column - _start(wide, crop[1])
            high, wide = crop
        return (column, row) if 0 <= column < wide and 0 <= row < high else None

    @property
    def channels(self) -> int:
        """1 for grey networks, 3 for RGB."""
        return len(self.mean)

    @property
    def size(self) -> tuple[int, int] | None:
        """(h, w) of every network input, or None where it follows the picture."""
        if self.crop is not None:
            return _pair(self.crop)
        return self.resize if isinstance(self.resize, tuple) else None

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """(h, w) of a picture of size (H, W) after the resizing, before the crop."""
        if self.resize is None:
            return size
        told = self._resized(*size)
        if len(told) == 2:
            return told[0], told[1]
        short, long = min(size), max(size)
        other = int(told[0] * long / short)
        return (told[0], other) if size[0] <= size[1] else (other, told[0])

    @property
    def text(self) -> str:
        """The size of the input as `--image-size` takes it: 224 or 60x80."""
        height, width = self.size or (0, 0)
        return str(height) if height == width else f"{height}x{width}"

    @property
    def low(self) -> Tensor:
        """What pixel value 0 (black) is in normalised space: float32 (C, 1, 1)."""
        return -self._column(self.mean) / self._column(self.std)

    @property
    def high(self) -> Tensor:
        """What pixel value 1 (white) is in normalised space: float32 (C, 1, 1)."""
        return (1 - self._column(self.mean)) / self._column(self.std)

    def takes(self, shape: Sequence[int]) -> bool:
        """Whether an array of that shape is the network's input."""
        return len(shape) == 3 and tuple(shape) == (self.channels, *(self.size or tuple(shape[-2:])))

    def _ready(self, values: np.ndarray) -> np.ndarray:
        if not self.takes(values.shape):
            height, width = self.size or values.shape[-2:]
            allowed = f"({self.channels}, {height}, {width}), or (N, {self.channels}, {height}, {width})"
            raise ImageError(
                "the tensor does not have the shape of the network's input", given=values.shape, allowed=allowed
            )
        return values

    def _geometry(self, pixels: np.ndarray) -> Image.Image:
        image: Any = Image.fromarray(pixels)
        mode = "L" if self.channels == 1 else "RGB"
        image = image if image.mode == mode else image.convert(mode)  # converting copies, and a picture may be large
        if self.resize is not None:
            high, wide = self.resized((image.height, image.width))
            if high * wide > MAX_PIXELS:
                what = "the image is too long for its width: scaled for the network it would have too many pixels"
                hint = "Crop it first, or leave it out."
                raise ImageError(f"{what} ({wide}×{high})", allowed=f"up to {MAX_PIXELS / 1e6:g} million", hint=hint)
            image = self._scaled(image, [high, wide])
        return image if self.crop is None else self._cropped(image, *_pair(self.crop))

    def _scaled(self, image: Image.Image, size: list[int]) -> Image.Image:
        high, wide = size
        return image if image.size == (wide, high) else image.resize((wide, high), FILTERS[self.interpolation])

    def _cropped(self, image: Image.Image, height: int, width: int) -> Image.Image:
        top, left = _start(image.height, height), _start(image.width, width)
        return image.crop((left, top, left + width, top + height))  # what lies outside is black

    def _resized(self, height: int, width: int) -> list[int]:
        """What torchvision's resize is told for a picture of that size."""
        if isinstance(self.resize, tuple):
            return list(self.resize)
        if isinstance(self.resize, int):
            return [self.resize]
        filled = self.cover or self.crop
        if filled is None:
            return [height, width]
        high, wide = _pair(filled)
        scale = max(high / height, wide / width)
        return [max(high, round(scale * height)), max(wide, round(scale * width))]

    @staticmethod
    def _column(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32)[:, None, None]


@dataclass(frozen=True)
class Wishes:
    """The preprocessing that the user asked for; None where nothing was asked."""

    resize: int | None = None
    crop: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: Size | None = None

    @property
    def sized(self) -> bool:
        """Whether a size was asked for."""
        return any(value is not None for value in (self.resize, self.crop, self.size))


def adapt(preset: Preprocess, wishes: Wishes) -> tuple[Preprocess, tuple[str, ...]]:
    """Apply the user's options to a preset.

    A crop larger than the shorter side would pad the picture with black, so the one of the two sizes that was not asked
    for follows the other; a note says so. `size` is the crop, with the resizing that just fills it where none was asked for.

    Returns:
        the adapted preset, and notes.

    Raises:
        UsageError: sizes below 1, both `size` and `crop`, `std` of zero, or a number of values that fits neither 1 nor the
            channels.

    >>> adapt(Preprocess(), Wishes(resize=64))[0].crop
    64
    """
    resize, crop, notes = wishes.resize or preset.resize, wishes.crop or preset.crop, ()
    if wishes.resize == 0 or wishes.crop == 0:
        raise UsageError("--resize and --crop must be at least 1 pixel", given=0)
    if wishes.size is not None:
        if wishes.crop is not None:
            raise UsageError(
                "--image-size and --crop both name the input's size", given=wishes.crop, hint="Leave --crop out."
            )
        crop = wishes.size if isinstance(wishes.size, int) or wishes.size[0] != wishes.size[1] else wishes.size[0]
        resize = wishes.resize or (crop if isinstance(crop, int) else COVER)
    elif isinstance(resize, str):
        resize, crop = (wishes.resize or COVER), (wishes.crop or crop)
    elif resize is not None and crop is not None and min(_pair(resize)) < max(_pair(crop)):
        if wishes.crop is None and wishes.resize is not None:
            crop, notes = resize, (f"crop {resize} follows --resize {resize}",)
        elif wishes.resize is None and wishes.crop is not None:
            resize, notes = crop, (f"resize {crop} follows --crop {crop}",)
    mean = _per_channel("mean", wishes.mean, preset.mean)
    std = _per_channel("std", wishes.std, preset.std)
    cover = None if wishes.sized else preset.cover
    return replace(preset, resize=resize, crop=crop, mean=mean, std=std, cover=cover), notes


def parse_size(size: str | Size | None) -> Size | None:
    """The input's size as a user names it: one number, or HEIGHTxWIDTH.

    Raises:
        UsageError: no such size, or one beyond 4096 pixels.

    >>> parse_size("60x80"), parse_size("64"), parse_size((60, 80))
    ((60, 80), 64, (60, 80))
    """
    if size is None:
        return None
    text = "x".join(map(str, size)) if isinstance(size, (tuple, list)) else str(size).strip()
    found = re.fullmatch(r"(\d{1,9})(?:[x×](\d{1,9}))?", text, re.IGNORECASE)
    sides = [int(side) for side in found.groups() if side is not None] if found else []
    if not sides or not all(1 <= side <= LARGEST for side in sides):
        raise UsageError(
            "--image-size must be a number of pixels, or HEIGHTxWIDTH",
            given=size,
            allowed=f"such as 224 or 60x80, 1 to {LARGEST}",
        )
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def describe(preset: Preprocess) -> str:
    """One line for notes.

    >>> describe(Preprocess()), describe(Preprocess(520, None)).partition(", mean")[0]
    ('resize 256, crop 224, mean 0.485 0.456 0.406, std 0.229 0.224 0.225', 'resize 520, no crop')
    """
    mean, std = (" ".join(f"{value:g}" for value in values) for values in (preset.mean, preset.std))
    return f"{_geometry(preset)}, mean {mean}, std {std}"


def _geometry(preset: Preprocess) -> str:
    """Size and crop in words."""
    if preset.resize == COVER:
        filled = "" if preset.cover is None else f" of a picture that fills {preset.cover[0]}x{preset.cover[1]}"
        return f"size {preset.text}{filled}"
    resize, crop = (
        "x".join(map(str, size)) if isinstance(size, tuple) else size for size in (preset.resize, preset.crop)
    )
    if resize is None:
        return "any size" if crop is None else f"no resize, crop {crop}"
    return f"resize {resize}, {'no crop' if crop is None else f'crop {crop}'}"


def restored(known: Any) -> Preprocess | None:
    """The preprocessing that the manifest of a run holds; None where it holds none, or one that sig did not write."""
    if not isinstance(known, dict) or not known.keys() <= set(Preprocess.__dataclass_fields__):
        return None
    told: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
    sizes = [told.get("crop"), told.get("cover"), *([told.get("resize")] if told.get("resize") != COVER else [])]
    levels = [told.get("mean", (0.0,)), told.get("std", (1.0,))]
    fits = all(size is None or _is_size(size) for size in sizes) and all(map(_is_levels, levels))
    if not fits or told.get("interpolation", "bilinear") not in list(FILTERS):
        return None
    try:
        return Preprocess(**told)
    except UsageError:
        return None


def _is_size(size: Any) -> bool:
    pair = size if isinstance(size, tuple) else (size, size)
    return len(pair) == 2 and all(type(side) is int and 1 <= side <= LARGEST for side in pair)


def _is_levels(levels: Any) -> bool:
    return isinstance(levels, tuple) and all(type(one) in (int, float) and math.isfinite(one) for one in levels)


def _per_channel(option: str, asked: tuple[float, ...] | None, preset: tuple[float, ...]) -> tuple[float, ...]:
    if asked is None:
        return preset
    if len(asked) not in (1, len(preset)):
        raise UsageError(
            f"--{option} does not fit the network's {len(preset)} channel(s)",
            given=" ".join(map(str, asked)),
            allowed=f"1 or {len(preset)} numbers" if len(preset) > 1 else "1 number",
        )
    return tuple(map(float, asked)) * (len(preset) // len(asked))


def _start(side: int, crop: int) -> int:
    """Where a central crop begins, as torchvision has it: negative where the picture is smaller; halves go to even."""
    return -((crop - side) // 2) if crop > side else round((side - crop) / 2.0)


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])

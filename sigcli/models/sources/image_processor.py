"""The steps of an image processor of transformers as a `Preprocess`, compared with the processor itself before use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sigcli.errors import ModelError

from ..checks import one_line
from ..preprocess import Preprocess, Size

_FILES = ("preprocessor_config.json", "processor_config.json")
_RESAMPLED = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Interpolations by Pillow's numbers."""
_WARPED = 384
"""ConvNeXt's processor crops below this side, and stretches from it on."""
_TRIALS = ((97, 61), (64, 127), (301, 420))
_NEAR = 1e-3
_OWN = (
    "Bring the network as your own function, and say the preprocessing: --model package.module:function --image-size."
)


@dataclass(frozen=True)
class ProcessorSteps(Preprocess):
    """Resizing and cropping as transformers does them.

    Args:
        tensors: resize as torchvision resizes uint8 tensors, and not as Pillow does; the two differ by rounding.
    """

    tensors: bool = True

    def _scaled(self, image: Image.Image, size: list[int]) -> Image.Image:
        if not self.tensors:
            return super()._scaled(image, size)
        from torchvision.transforms import InterpolationMode  # takes two seconds to import
        from torchvision.transforms.v2 import functional as F

        how = InterpolationMode(self.interpolation)
        how = InterpolationMode.NEAREST_EXACT if how == InterpolationMode.NEAREST else how
        return F.to_pil_image(F.resize(F.pil_to_tensor(image), size, how, antialias=True))

    def _cropped(self, image: Image.Image, height: int, width: int) -> Image.Image:
        """The centre; of an odd rest the smaller half is cut off above and left. What lacks is black."""
        wide, high = max(width, image.width), max(height, image.height)
        if (wide, high) != image.size:
            padded = Image.new(image.mode, (wide, high))
            padded.paste(image, (max(0, width - image.width) // 2, max(0, height - image.height) // 2))
            image = padded
        top, left = (image.height - height) // 2, (image.width - width) // 2
        return image.crop((left, top, left + width, top + height))


@dataclass(frozen=True)
class Processor:
    """What an image processor does.

    Args:
        preprocess: its steps, or None where the folder has none.
        flipped: it gives blue, green, red.
        notes: what to tell of it.
    """

    preprocess: Preprocess | None
    flipped: bool = False
    notes: tuple[str, ...] = ()


def read_processor(folder: Path, package: ModuleType) -> Processor:
    """The steps of a folder's image processor.

    Raises:
        ModelError: it cannot be read, or it does what is not resizing, cropping at the centre and normalising.
    """
    if not any((folder / name).is_file() for name in _FILES):
        return Processor(None, notes=("the folder has no preprocessor_config.json",))
    try:
        found = package.AutoImageProcessor.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises all sorts of exceptions
        raise ModelError(f"transformers cannot read the image processor: {one_line(error)}", given=folder) from error
    name = type(found).__name__
    try:
        steps, flipped = _steps(found), bool(getattr(found, "do_flip_channel_order", False))
    except (ValueError, TypeError, AttributeError, ArithmeticError, LookupError) as error:  # numbers may be any
        raise _refused(name, one_line(error)) from error
    _compare(found, name, steps, flipped=flipped)
    return Processor(steps, flipped)


def _steps(found: Any) -> ProcessorSteps:
    """The processor's options as steps; raises ValueError for what has no place in them."""
    resize, crop = _sizes(found) if found.do_resize else (None, None)
    if getattr(found, "do_center_crop", None):
        crop = _crop(found)
    mean, std = _normalised(found)
    interpolation = _interpolation(getattr(found, "resample", None))
    backend = str(getattr(found, "backend", "torchvision"))
    if backend == "torchvision" and interpolation in ("box", "hamming", "lanczos"):
        raise ValueError(f"it resizes tensors by '{interpolation}'")
    side = crop[0] if isinstance(crop, tuple) and crop[0] == crop[1] else crop
    return ProcessorSteps(resize, side, mean, std, interpolation, tensors=backend == "torchvision")


def _interpolation(number: Any) -> str:
    """The way of resizing that Pillow's number stands for, bilinear without one; raises ValueError for another number."""
    if number is None:
        return "bilinear"
    if number not in range(len(_RESAMPLED)):
        raise ValueError(f"its resample is {number}, and Pillow's go from 0 to {len(_RESAMPLED) - 1}")
    return _RESAMPLED[int(number)]


def _sizes(found: Any) -> tuple[Size | None, Size | None]:
    """What `size` says of resizing, and of a crop that belongs to it."""
    size = _table(found.size)
    share = getattr(found, "crop_pct", None)
    if "longest_edge" in size or "max_height" in size:
        raise ValueError(f"it scales by the longer side ({_told(size)}), so pictures have different sizes")
    if "shortest_edge" in size:
        return _shorter(type(found).__name__, size["shortest_edge"], share)
    if not {"height", "width"} <= size.keys():
        raise ValueError(f"its size is {_told(size) or 'not stated'}")
    if share is not None and size["height"] == size["width"]:
        return int(size["height"] / share), None
    return (size["height"], size["width"]), None


def _shorter(name: str, side: int, share: float | None) -> tuple[Size, Size | None]:
    if name.startswith("ConvNext"):
        return (int(side / (share or 224 / 256)), side) if side < _WARPED else ((side, side), None)
    if name.startswith("Levit"):
        return int((256 / 224) * side), None
    return int(side / share) if share is not None else side, None


def _crop(found: Any) -> Size:
    size = _table(found.crop_size)
    if not {"height", "width"} <= size.keys():
        raise ValueError(f"its crop is {_told(size) or 'not stated'}")
    return size["height"], size["width"]


def _normalised(found: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation for pixels in 0..1, of rescaling and normalising together."""
    factor = 255 * (found.rescale_factor if found.do_rescale else 1.0)
    offset = float(bool(getattr(found, "rescale_offset", False)))
    mean, std = [0.0] * 3, [1.0] * 3
    if getattr(found, "do_normalize", None):
        mean, std = _each(found.image_mean), _each(found.image_std)
    if getattr(found, "include_top", False) and type(found).__name__.startswith("EfficientNet"):
        std = [value * value for value in std]  # it divides once more
    return tuple((value + offset) / factor for value in mean), tuple(value / factor for value in std)


def _each(values: Any) -> list[float]:
    return [float(values)] * 3 if isinstance(values, (int, float)) else [float(value) for value in values]


def _table(size: Any) -> dict[str, int]:
    pairs = dict(size).items() if size is not None else ()
    return {name: int(value) for name, value in pairs if value is not None}


def _told(size: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in size.items())


def _compare(found: Any, name: str, steps: ProcessorSteps, *, flipped: bool) -> None:
    """Raise ModelError where the steps give something else than the processor itself, on pictures of noise."""

    def theirs(image: Image.Image) -> Tensor:
        made = torch.as_tensor(np.asarray(found(images=image, return_tensors="np")["pixel_values"][0]))
        return made.flip(0) if flipped else made

    compared(theirs, name, steps)


def compared(theirs: Callable[[Image.Image], Tensor], name: str, steps: Preprocess) -> None:
    """Compare steps with the image processor that they stand for, on pictures of noise.

    Args:
        theirs: a picture as PIL has it → (C, h, w), red first.
        name: what the processor is called.
        steps: ours.

    Raises:
        ModelError: it gives something else.
    """
    draws = np.random.default_rng(0)
    for high, wide in _TRIALS:
        pixels = draws.integers(0, 256, (high, wide, 3), dtype=np.uint8)
        try:
            expected = theirs(Image.fromarray(pixels).convert("L" if steps.channels == 1 else "RGB"))
        except Exception as error:  # foreign packages raise all sorts of exceptions
            raise _refused(name, one_line(error)) from error
        made = steps(pixels)
        spread = float((steps.high - steps.low).abs().max())
        if made.shape != expected.shape or bool(((made - expected).abs() > _NEAR * spread).any()):
            raise _refused(name, _difference(made.shape, expected.shape))


def _difference(made: Sequence[int], expected: Sequence[int]) -> str:
    if tuple(made) != tuple(expected):
        return f"of a picture it makes {tuple(expected)}, and these steps would make {tuple(made)}"
    return "it makes other values than these steps"


def _refused(name: str, why: str) -> ModelError:
    what = f"the image processor {name} does not only resize, crop at the centre and normalise: {why}"
    return ModelError(what, hint=_OWN)
